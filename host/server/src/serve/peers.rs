//! How many connections one address may have open.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;

/// Whom one address speaks for: of IPv6, one customer has a whole /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Network(IpAddr);

impl Network {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                Self(Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX)).into())
            }
            v4 @ IpAddr::V4(_) => Self(v4),
        }
    }
}

/// Who has how many connections open. As large as there are connections.
#[derive(Clone, Debug)]
pub(super) struct Peers {
    open: Arc<Mutex<HashMap<Network, usize>>>,
    /// Of one network.
    most: usize,
}

impl Peers {
    /// `most`: connections of one network at once.
    pub(super) fn new(most: usize) -> Self {
        Self { open: Arc::default(), most }
    }

    /// None: this network has as many open as it may.
    pub(super) fn admit(&self, peer: IpAddr, room: OwnedSemaphorePermit) -> Option<Place> {
        let network = Network::of(peer);
        let mut open = self.open.lock();
        let own = open.get(&network).copied().unwrap_or_default();
        if own >= self.most {
            return None;
        }
        open.insert(network, own + 1);
        Some(Place { peers: self.clone(), network, _room: room })
    }
}

/// One connection's, among all and among those of its network. Goes with it.
#[derive(Debug)]
pub(super) struct Place {
    peers: Peers,
    network: Network,
    _room: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.peers.open.lock();
        match open.get_mut(&self.network) {
            Some(own) if *own > 1 => *own -= 1,
            Some(_) | None => drop(open.remove(&self.network)),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_whole_v6_network_is_one() {
        let network = |text| Network::of(address(text));
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:2"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }

    #[test]
    fn one_network_has_no_more_than_its_share_and_gives_it_back() {
        let (room, peers) = (Arc::new(Semaphore::new(10)), Peers::new(2));
        let admit = |from| peers.admit(address(from), room.clone().try_acquire_owned().unwrap());
        let (first, second) = (admit("192.0.2.1"), admit("192.0.2.1"));
        assert!(first.is_some() && second.is_some());
        assert!(admit("192.0.2.1").is_none(), "a third");
        let another = admit("192.0.2.2");
        assert!(another.is_some(), "others have their own");
        assert_eq!(room.available_permits(), 7, "whoever is refused takes no room");
        drop(first);
        assert!(admit("192.0.2.1").is_some());
        drop((second, another));
        assert!(peers.open.lock().is_empty(), "nobody who has gone is remembered");
        assert_eq!(room.available_permits(), 10);
    }
}
