//! A task for each of what is listed at present.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::AbortHandle;

/// Tasks, each about something that is listed. A task ends when that is no longer listed, all end when this is dropped.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    /// By the address of what they are about, which each keeps alive.
    running: HashMap<usize, Task>,
}

#[derive(Debug)]
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Tasks {
    /// This is listed from now on: tasks about it go on, or begin; others end. What is listed twice has one task.
    pub(super) fn follow<L, T>(
        &mut self,
        listed: impl IntoIterator<Item = L>,
        about: impl Fn(&L) -> &Arc<T>,
        begin: impl Fn(L) -> AbortHandle,
    ) {
        let mut before = std::mem::take(&mut self.running);
        for one in listed {
            let address = Arc::as_ptr(about(&one)).addr();
            if self.running.contains_key(&address) {
                continue;
            }
            let task = before.remove(&address).unwrap_or_else(|| Task(begin(one)));
            self.running.insert(address, task);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn each_has_one_task_while_it_is_listed() {
        let (one, two) = (Arc::new(()), Arc::new(()));
        let mut tasks = Tasks::default();
        let mut follow = |listed: Vec<&Arc<()>>| {
            let begin = |about: Arc<()>| {
                let keep = async move {
                    pending::<()>().await;
                    drop(about);
                };
                tokio::spawn(keep).abort_handle()
            };
            tasks.follow(listed.into_iter().cloned(), |about| about, begin);
        };
        let running = async || {
            // What is aborted is dropped when its turn comes.
            tokio::task::yield_now().await;
            (Arc::strong_count(&one) - 1, Arc::strong_count(&two) - 1)
        };
        follow(vec![&one, &two, &one]);
        assert_eq!(running().await, (1, 1));
        follow(vec![&two]);
        assert_eq!(running().await, (0, 1));
        follow(vec![&one, &two]);
        assert_eq!(running().await, (1, 1));
        drop(tasks);
        assert_eq!(running().await, (0, 0));
    }
}
