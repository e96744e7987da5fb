//! A timer for one wait after the other.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use tokio::task::unconstrained;
use tokio::time::{Sleep, sleep_until};

/// Tells a task when it has waited for too long.
///
/// A wait that ends in time, as nearly all do, leaves the timer as it is; when that fires, it is set for the wait that is at
/// hand by then. So a timer is set once in the time that a wait may take, not once for each wait.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    timer: Option<Pin<Box<Sleep>>>,
    /// The task that the timer wakes.
    task: Option<Waker>,
}

impl Alarm {
    /// Ready once it is `due`. Until then the task is woken in time to ask again.
    pub(crate) fn poll(&mut self, due: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let due = due.into();
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if timer.deadline() > due {
            timer.as_mut().reset(due);
            self.task = None;
        }
        if !timer.is_elapsed() && self.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        self.task = Some(cx.waker().clone());
        loop {
            // The task's budget must not keep the timer from being set: it is what wakes the task.
            ready!(pin!(unconstrained(timer.as_mut())).poll(cx));
            if Instant::now() >= due.into_std() {
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    async fn wait(alarm: &mut Alarm, milliseconds: u64) -> Duration {
        let start = Instant::now();
        let due = start + Duration::from_millis(milliseconds);
        poll_fn(|cx| alarm.poll(due, cx)).await;
        start.elapsed()
    }

    async fn wait_for_less(alarm: &mut Alarm, milliseconds: u64) {
        let due = Instant::now() + Duration::from_millis(milliseconds);
        poll_fn(|cx| {
            assert!(alarm.poll(due, cx).is_pending());
            Poll::Ready(())
        })
        .await;
    }

    #[tokio::test]
    async fn each_wait_has_its_own_time_whatever_was_waited_for_before() {
        let mut alarm = Alarm::default();
        for milliseconds in [20, 60, 10, 0, 40] {
            wait_for_less(&mut alarm, 30).await;
            let waited = wait(&mut alarm, milliseconds).await;
            let wanted = Duration::from_millis(milliseconds);
            assert!(
                waited >= wanted && waited < wanted + Duration::from_millis(500),
                "{waited:?}"
            );
            wait_for_less(&mut alarm, 1000).await;
        }
    }

    #[tokio::test]
    async fn another_task_is_woken_as_well() {
        let mut alarm = Alarm::default();
        wait_for_less(&mut alarm, 50).await;
        let waited = tokio::spawn(async move { wait(&mut alarm, 50).await });
        assert!(waited.await.unwrap() >= Duration::from_millis(50));
    }
}
