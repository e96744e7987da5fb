//! A second request beside one that takes long: who answers first wins.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use smallvec::SmallVec;
use tokio::time::sleep;

use super::again::drain;
use super::attempt::Attempt;
use super::failure::Failed;
use super::{Answer, Proxy, Terms, blame};
use crate::config::resolved::Hedge;
use crate::pipeline::Exchange;
use crate::upstream::{Asked, Target};

/// One of the requests under way.
struct Runner<'a> {
    target: Rc<Target>,
    asked: Asked,
    is_hedge: bool,
    answer: Pin<Box<dyn Future<Output = Result<Answer, Failed>> + 'a>>,
}

impl Proxy {
    /// Sends to a target, and to others beside it while there is no answer. The first answer that is no failure wins, and
    /// `target` is who gave it; the others are given up, and their connections closed. Where all fail it is as if the last
    /// one had been sent alone.
    pub(super) async fn race(
        &self,
        hedge: Hedge,
        target: &mut Rc<Target>,
        attempt: &mut Attempt,
        tried: &[Rc<Target>],
        exchange: &Exchange,
        terms: &Terms<'_>,
    ) -> Result<Answer, Failed> {
        let Some(request) = attempt.request.take_if(|_| attempt.spare.is_some()) else {
            let asked = target.asked();
            let answer = self.send(target, attempt, exchange, terms).await;
            blame(target, asked, &answer);
            return answer;
        };
        let run = |target: &Rc<Target>, attempt: Attempt, is_hedge: bool| Runner {
            target: target.clone(),
            asked: target.asked(),
            is_hedge,
            answer: {
                let (target, mut attempt) = (target.clone(), attempt);
                Box::pin(async move { self.send(&target, &mut attempt, exchange, terms).await })
            },
        };
        let mut asked: SmallVec<[Rc<Target>; 4]> = tried.iter().chain([&*target]).cloned().collect();
        let mut runners = vec![run(target, attempt.beside(request), false)];
        let mut left = hedge.most;
        let mut timer = pin!(sleep(hedge.after));
        loop {
            // None where it takes long.
            let ended = poll_fn(|cx| {
                for (place, runner) in runners.iter_mut().enumerate() {
                    if let Poll::Ready(answer) = runner.answer.as_mut().poll(cx) {
                        return Poll::Ready(Some((place, answer)));
                    }
                }
                if left > 0 && timer.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(None);
                }
                Poll::Pending
            });
            match ended.await {
                Some((place, answer)) => {
                    let runner = runners.swap_remove(place);
                    blame(&runner.target, runner.asked, &answer);
                    let failed = match answer {
                        Ok(answer) => match self.asks_again(&answer, attempt, exchange) {
                            None => {
                                if runner.is_hedge {
                                    self.counts.hedges_won.add(1);
                                }
                                *target = runner.target;
                                return Ok(answer);
                            }
                            Some(cause) => Failed::Answered(cause, Box::new(answer)),
                        },
                        Err(failed) => failed,
                    };
                    if runners.is_empty() {
                        *target = runner.target;
                        return Err(failed);
                    }
                    if let Failed::Answered(_, answer) = failed {
                        drain(*answer, self.upstream.settings.idle_timeout);
                    }
                }
                None => {
                    left -= 1;
                    let now = Instant::now();
                    timer.as_mut().reset((now + hedge.after).into());
                    let next = self.upstream.next(&asked, attempt.affinity);
                    let next = next.or_else(|| self.upstream.next(&[], attempt.affinity));
                    let Some((next, request)) = next.zip(self.repeated(attempt, exchange, terms)) else {
                        left = 0;
                        continue;
                    };
                    if !self.budget.withdraw(now) {
                        self.counts.over_budget.add(1);
                        left = 0;
                        continue;
                    }
                    self.counts.hedges.add(1);
                    runners.push(run(&next, attempt.beside(request), true));
                    asked.push(next);
                }
            }
        }
    }
}
