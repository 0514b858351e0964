//! What the agent did, kept for `tasks/get`, in the words of either generation
//! of the protocol.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;
use uuid::Uuid;

/// Older tasks are forgotten.
const MAX_TASKS: usize = 1000;

/// A generation of the A2A protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Generation {
    V03,
    V10,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Submitted,
    Working,
    Completed,
    Canceled,
}

impl State {
    pub(super) const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Canceled)
    }

    const fn word(self, generation: Generation) -> &'static str {
        match (generation, self) {
            (Generation::V03, Self::Submitted) => "submitted",
            (Generation::V03, Self::Working) => "working",
            (Generation::V03, Self::Completed) => "completed",
            (Generation::V03, Self::Canceled) => "canceled",
            (Generation::V10, Self::Submitted) => "TASK_STATE_SUBMITTED",
            (Generation::V10, Self::Working) => "TASK_STATE_WORKING",
            (Generation::V10, Self::Completed) => "TASK_STATE_COMPLETED",
            (Generation::V10, Self::Canceled) => "TASK_STATE_CANCELED",
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) id: String,
    pub(super) context_id: String,
    pub(super) state: State,
    message_id: String,
    asked: String,
    /// Given once it is completed.
    pub(super) answer: String,
    /// Which life answers: tells a caller whether the agent was restarted.
    life: Option<u64>,
    pub(super) canceled: Arc<Notify>,
}

impl Task {
    pub(super) fn render(&self, generation: Generation) -> Value {
        let completed = self.state == State::Completed;
        let artifacts =
            if completed { vec![self.artifact(generation, &self.answer)] } else { vec![] };
        let mut task = json!({
            "id": self.id,
            "contextId": self.context_id,
            "status": { "state": self.state.word(generation) },
            "artifacts": artifacts,
            "history": [self.question(generation)],
            "metadata": { "life": self.life },
        });
        if generation == Generation::V03 {
            task["kind"] = json!("task");
        }
        task
    }

    /// What `message/stream` sends of a task as it begins.
    pub(super) fn event(&self, generation: Generation) -> Value {
        match generation {
            Generation::V03 => self.render(generation),
            Generation::V10 => json!({ "task": self.render(generation) }),
        }
    }

    pub(super) fn status_event(&self, generation: Generation) -> Value {
        let status = json!({ "state": self.state.word(generation) });
        match generation {
            Generation::V03 => json!({
                "kind": "status-update",
                "taskId": self.id,
                "contextId": self.context_id,
                "status": status,
                "final": self.state.is_final(),
            }),
            Generation::V10 => json!({ "statusUpdate": {
                "taskId": self.id,
                "contextId": self.context_id,
                "status": status,
            }}),
        }
    }

    /// A piece of the answer. The first one begins the artifact.
    pub(super) fn artifact_event(
        &self,
        generation: Generation,
        piece: &str,
        is_first: bool,
        is_last: bool,
    ) -> Value {
        let mut update = json!({
            "taskId": self.id,
            "contextId": self.context_id,
            "artifact": self.artifact(generation, piece),
            "append": !is_first,
            "lastChunk": is_last,
        });
        match generation {
            Generation::V03 => {
                update["kind"] = json!("artifact-update");
                update
            }
            Generation::V10 => json!({ "artifactUpdate": update }),
        }
    }

    fn artifact(&self, generation: Generation, text: &str) -> Value {
        json!({
            "artifactId": format!("{}-answer", self.id),
            "name": "answer",
            "parts": [part(generation, text)],
        })
    }

    fn question(&self, generation: Generation) -> Value {
        let mut message = json!({
            "messageId": self.message_id,
            "taskId": self.id,
            "contextId": self.context_id,
            "parts": [part(generation, &self.asked)],
        });
        match generation {
            Generation::V03 => {
                message["kind"] = json!("message");
                message["role"] = json!("user");
            }
            Generation::V10 => message["role"] = json!("ROLE_USER"),
        }
        message
    }
}

fn part(generation: Generation, text: &str) -> Value {
    match generation {
        Generation::V03 => json!({ "kind": "text", "text": text }),
        Generation::V10 => json!({ "text": text }),
    }
}

/// The newest tasks.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    life: Option<u64>,
    kept: Mutex<VecDeque<Task>>,
    under_way: AtomicU32,
}

impl Tasks {
    pub(super) fn new(life: Option<u64>) -> Self {
        Self { life, ..Self::default() }
    }

    /// The same message again is the same task: who delivers it twice, because
    /// its answer was lost, has it done once. None: the message is none.
    pub(super) fn begin(&self, message: &Value) -> Option<Task> {
        let asked = text_of(message)?;
        let given = |key: &str| message.get(key).and_then(Value::as_str).map(str::to_owned);
        let fresh = || Uuid::now_v7().to_string();
        let task = Task {
            id: fresh(),
            context_id: given("contextId").filter(|id| !id.is_empty()).unwrap_or_else(fresh),
            state: State::Submitted,
            message_id: given("messageId").unwrap_or_else(fresh),
            answer: answer_to(&asked),
            asked,
            life: self.life,
            canceled: Arc::default(),
        };
        let mut kept = self.kept.lock();
        let same = |known: &&Task| known.message_id == task.message_id && known.asked == task.asked;
        if let Some(known) = kept.iter().find(same) {
            return Some(known.clone());
        }
        if kept.len() == MAX_TASKS {
            kept.pop_front();
        }
        kept.push_back(task.clone());
        Some(task)
    }

    pub(super) fn get(&self, id: &str) -> Option<Task> {
        self.kept.lock().iter().find(|task| task.id == id).cloned()
    }

    /// Unless it is final already. The task as it then is.
    pub(super) fn set_state(&self, task: &Task, state: State) -> Task {
        let mut kept = self.kept.lock();
        let Some(kept) = kept.iter_mut().find(|kept| kept.id == task.id) else {
            return Task { state, ..task.clone() };
        };
        if !kept.state.is_final() {
            kept.state = state;
        }
        kept.clone()
    }

    pub(super) fn under_way(&self) -> u32 {
        self.under_way.load(Ordering::SeqCst)
    }

    /// Counts one task as under way until it is dropped.
    pub(super) fn count(&self) -> Counted<'_> {
        self.under_way.fetch_add(1, Ordering::SeqCst);
        Counted(self)
    }
}

#[derive(Debug)]
pub(super) struct Counted<'a>(&'a Tasks);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

/// All text of a message, of either generation.
fn text_of(message: &Value) -> Option<String> {
    let parts = message.get("parts")?.as_array()?;
    let texts: Vec<&str> =
        parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect();
    Some(texts.join("\n"))
}

fn answer_to(asked: &str) -> String {
    if asked.trim().eq_ignore_ascii_case("ping") { "PONG".to_owned() } else { asked.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ping() -> Value {
        json!({ "messageId": "m-1", "role": "user", "parts": [{ "kind": "text", "text": "ping" }] })
    }

    #[test]
    fn a_ping_is_answered_pong_and_everything_else_echoed() {
        for (asked, answer) in [("ping", "PONG"), (" Ping\n", "PONG"), ("pings", "pings"), ("", "")]
        {
            assert_eq!(answer_to(asked), answer, "{asked:?}");
        }
    }

    #[test]
    fn a_message_delivered_twice_is_one_task() {
        let tasks = Tasks::new(None);
        let first = tasks.begin(&ping()).expect("a message");
        assert_eq!(tasks.begin(&ping()).expect("a message").id, first.id);
        let mut other = ping();
        other["messageId"] = json!("m-2");
        assert_ne!(tasks.begin(&other).expect("a message").id, first.id);
    }

    #[test]
    fn a_task_is_told_in_the_words_of_the_asker() {
        let tasks = Tasks::new(Some(4));
        let task = tasks.begin(&ping()).expect("a message");
        let task = tasks.set_state(&task, State::Completed);
        let (old, new) = (task.render(Generation::V03), task.render(Generation::V10));
        assert_eq!(old["kind"], "task");
        assert_eq!(old["status"]["state"], "completed");
        assert_eq!(old["artifacts"][0]["parts"][0], json!({ "kind": "text", "text": "PONG" }));
        assert_eq!(old["history"][0]["role"], "user");
        assert_eq!(new.get("kind"), None);
        assert_eq!(new["status"]["state"], "TASK_STATE_COMPLETED");
        assert_eq!(new["artifacts"][0]["parts"][0], json!({ "text": "PONG" }));
        assert_eq!(new["history"][0]["role"], "ROLE_USER");
        assert_eq!(new["metadata"]["life"], 4);
    }

    #[test]
    fn a_final_task_stays_as_it_is() {
        let tasks = Tasks::default();
        let task = tasks.begin(&ping()).expect("a message");
        assert_eq!(tasks.set_state(&task, State::Canceled).state, State::Canceled);
        assert_eq!(tasks.set_state(&task, State::Completed).state, State::Canceled);
    }

    #[test]
    fn only_the_newest_tasks_are_kept() {
        let tasks = Tasks::default();
        let nameless = json!({ "parts": [{ "kind": "text", "text": "ping" }] });
        let first = tasks.begin(&nameless).expect("a message");
        for _ in 1..MAX_TASKS {
            tasks.begin(&nameless);
        }
        assert!(tasks.get(&first.id).is_some());
        tasks.begin(&nameless);
        assert!(tasks.get(&first.id).is_none());
    }

    #[test]
    fn what_has_no_parts_is_no_message() {
        let tasks = Tasks::default();
        for message in [json!({}), json!({ "parts": "ping" }), json!("ping"), Value::Null] {
            assert!(tasks.begin(&message).is_none(), "{message}");
        }
    }
}
