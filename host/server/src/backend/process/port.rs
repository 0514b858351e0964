//! Free loopback ports for children, no two workspaces the same.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, TcpListener},
};

use parking_lot::Mutex;
use reprieve_core::ids::WorkspaceId;

/// A port that the kernel offers may be another workspace's whose child is not
/// listening at this moment.
const MAX_OFFERS: u32 = 64;

/// Which workspace has which port.
#[derive(Debug, Default)]
pub(super) struct Ports(Mutex<BTreeMap<WorkspaceId, u16>>);

impl Ports {
    /// The port of a run that was taken over.
    pub(super) fn note(&self, workspace: &WorkspaceId, port: u16) {
        self.0.lock().insert(workspace.clone(), port);
    }

    /// The workspace's own port as long as it is free, so that its address stays
    /// the same from life to life; else another.
    pub(super) fn pick(&self, workspace: &WorkspaceId) -> io::Result<u16> {
        let mut ports = self.0.lock();
        if let Some(port) = ports.get(workspace)
            && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()
        {
            return Ok(*port);
        }
        for _ in 0..MAX_OFFERS {
            let offer = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
            if !ports.values().any(|port| *port == offer) {
                ports.insert(workspace.clone(), offer);
                return Ok(offer);
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, "no free port on 127.0.0.1"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_keeps_its_port_while_it_is_free() -> Result<(), Box<dyn std::error::Error>> {
        let (ports, workspace) = (Ports::default(), "ws-1".parse()?);
        let first = ports.pick(&workspace)?;
        assert_eq!(ports.pick(&workspace)?, first);
        let _stranger = TcpListener::bind((Ipv4Addr::LOCALHOST, first))?;
        assert_ne!(ports.pick(&workspace)?, first);
        Ok(())
    }

    #[test]
    fn no_two_workspaces_get_the_same_port() -> Result<(), Box<dyn std::error::Error>> {
        let ports = Ports::default();
        let mut picked = std::collections::BTreeSet::new();
        for n in 0..50 {
            picked.insert(ports.pick(&format!("ws-{n}").parse()?)?);
        }
        assert_eq!(picked.len(), 50);
        Ok(())
    }
}
