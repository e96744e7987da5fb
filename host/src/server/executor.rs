//! Spawns on the thread at hand.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use super::activity::Activity;
use super::wait::Wait;

/// Runs what a connection spawns on its own thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalExecutor;

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future + 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}

/// The same for the streams of a client's HTTP/2 connection, as long as their client takes the responses. hyper would wait for
/// a window for ever, and ask the body for nothing.
#[derive(Clone)]
pub(super) struct StreamExecutor(Rc<Activity>);

impl StreamExecutor {
    pub(super) fn new(activity: Rc<Activity>) -> StreamExecutor {
        StreamExecutor(activity)
    }
}

impl<F> hyper::rt::Executor<F> for StreamExecutor
where
    F: Future<Output = ()> + 'static,
{
    fn execute(&self, future: F) {
        let activity = self.0.clone();
        tokio::task::spawn_local(async move {
            while_taken(&activity, future).await;
        });
    }
}

/// Runs what answers a stream. None when its client takes nothing of the response for too long, or takes it too slowly: it is
/// dropped then, which resets this stream, and no other.
pub(super) async fn while_taken<F: Future>(activity: &Activity, answering: F) -> Option<F::Output> {
    let mut answering = pin!(answering);
    // Its wait for the client to take what it has been sent of the response.
    let mut response: Option<Rc<Wait>> = None;
    poll_fn(|cx| {
        if response.as_ref().is_some_and(|wait| wait.is_stalled()) {
            return Poll::Ready(None);
        }
        let polled = answering.as_mut().poll(cx);
        if let Some(begun) = activity.take_begun_response() {
            response = Some(begun);
        }
        polled.map(Some)
    })
    .await
}
