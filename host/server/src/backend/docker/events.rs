//! What the daemon reports unasked, read. What it means is decided in
//! [`super::discovery`].

use bollard::models::EventMessage;
use reprieve_core::ids::WorkspaceId;

use super::{labels::WORKSPACE, names::ContainerId};

/// Something happened to a container that names a workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) workspace: WorkspaceId,
    pub(super) container: ContainerId,
    pub(super) at_nanos: u64,
    pub(super) what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Renamed,
    Started,
    /// The run ended, however; with that exit code, if the daemon says so.
    Ended(Option<i32>),
    /// After the end: somebody asked the daemon to stop or restart it. A kill and
    /// a removal by force do not say so.
    Stopped,
    Unhealthy,
    /// Some process in it was killed for want of memory; not always the first.
    OutOfMemory,
    Removed,
}

/// None for what is no concern of ours, whatever a newer daemon may report.
pub(super) fn read(message: &EventMessage) -> Option<Event> {
    let actor = message.actor.as_ref()?;
    // `health_status: unhealthy`
    let action = message.action.as_deref()?;
    let (action, detail) = action.split_once(':').unwrap_or((action, ""));
    let attributes = actor.attributes.as_ref()?;
    let exit_code = || attributes.get("exitCode")?.parse().ok();
    let what = match (action, detail.trim()) {
        ("rename", _) => What::Renamed,
        ("start", _) => What::Started,
        ("die", _) => What::Ended(exit_code()),
        ("stop", _) => What::Stopped,
        ("health_status", "unhealthy") => What::Unhealthy,
        ("oom", _) => What::OutOfMemory,
        ("destroy", _) => What::Removed,
        _ => return None,
    };
    Some(Event {
        workspace: attributes.get(WORKSPACE)?.parse().ok()?,
        container: actor.id.as_deref()?.parse().ok()?,
        at_nanos: u64::try_from(message.time_nano?).ok()?,
        what,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_read_or_is_no_concern_of_ours() {
        let id = "0123456789abcdef".repeat(4);
        for (action, id, workspace, expected) in [
            ("create", &*id, "ws-1", None),
            ("rename", &*id, "ws-1", Some(What::Renamed)),
            ("start", &*id, "ws-1", Some(What::Started)),
            ("die", &*id, "ws-1", Some(What::Ended(Some(137)))),
            ("stop", &*id, "ws-1", Some(What::Stopped)),
            ("oom", &*id, "ws-1", Some(What::OutOfMemory)),
            ("destroy", &*id, "ws-1", Some(What::Removed)),
            ("health_status: unhealthy", &*id, "ws-1", Some(What::Unhealthy)),
            ("health_status: healthy", &*id, "ws-1", None),
            ("exec_create: sh -c true", &*id, "ws-1", None),
            ("checkpoint", &*id, "ws-1", None),
            ("die", "../../info", "ws-1", None),
            ("die", &*id, "ws 1", None),
        ] {
            let message = serde_json::from_value(json!({
                "Type": "container", "Action": action, "time": 1, "timeNano": 1_500_000_000_u64,
                "Actor": {"ID": id, "Attributes": {"reprieve.workspace": workspace, "exitCode": "137"}},
            }));
            let event = read(&message.unwrap());
            assert_eq!(event.as_ref().map(|event| event.what), expected, "{action} {workspace}");
            assert!(event.is_none_or(|event| event.at_nanos == 1_500_000_000), "{action}");
        }
    }
}
