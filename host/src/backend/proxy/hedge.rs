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
use super::{Answer, Proxy, Terms, judge};
use crate::config::resolved::Hedge;
use crate::pipeline::Exchange;
use crate::upstream::{Affinity, Asked, Target, Trial};

/// One of the requests under way.
struct Runner<'a> {
    target: Rc<Target>,
    asked: Asked,
    trial: Option<Trial>,
    is_hedge: bool,
    answer: Pin<Box<dyn Future<Output = Result<Answer, Failed>> + 'a>>,
}

impl Proxy {
    /// Sends to a target, and to others beside it while there is no answer. The first answer that is no failure wins, and
    /// `target` is who gave it; the others are given up, and their connections closed. Where all fail it is as if the last
    /// one had been sent alone, after the others, which are among the `tried`.
    #[expect(
        clippy::too_many_arguments,
        reason = "what a try needs, and what a race changes of it"
    )]
    pub(super) async fn race(
        &self,
        hedge: Hedge,
        target: &mut Rc<Target>,
        trial: Option<Trial>,
        attempt: &mut Attempt,
        tried: &mut SmallVec<[Rc<Target>; 2]>,
        exchange: &Exchange,
        terms: &Terms<'_>,
    ) -> Result<Answer, Failed> {
        let Some(request) = attempt.request.take_if(|_| attempt.spare.is_some()) else {
            let asked = target.asked();
            let mut answer = self.send(target, attempt, exchange, terms).await;
            judge(target, asked, trial, &mut answer, exchange);
            return answer;
        };
        let run = |target: &Rc<Target>, trial: Option<Trial>, attempt: Attempt, is_hedge: bool| Runner {
            target: target.clone(),
            asked: target.asked(),
            trial,
            is_hedge,
            answer: {
                let (target, mut attempt) = (target.clone(), attempt);
                Box::pin(async move { self.send(&target, &mut attempt, exchange, terms).await })
            },
        };
        let mut runners = vec![run(target, trial, attempt.beside(request), false)];
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
                Some((place, mut answer)) => {
                    let runner = runners.swap_remove(place);
                    judge(&runner.target, runner.asked, runner.trial, &mut answer, exchange);
                    *target = runner.target;
                    let failed = match answer {
                        Ok(answer) => match self.asks_again(&answer, attempt, exchange) {
                            None => {
                                if runner.is_hedge {
                                    self.counts.hedges_won.add(1);
                                }
                                for loser in &runners {
                                    loser.target.outpaced(loser.asked);
                                }
                                return Ok(answer);
                            }
                            Some(cause) => Failed::answered(cause, answer),
                        },
                        Err(failed) => failed,
                    };
                    if runners.is_empty() {
                        return Err(failed);
                    }
                    tried.push(target.clone());
                    if let Ok(answer) = failed.last {
                        drain(*answer, self.upstream.settings.idle_timeout);
                    }
                }
                None => {
                    left -= 1;
                    let now = Instant::now();
                    timer.as_mut().reset((now + hedge.after).into());
                    let next = self.beside(tried, &runners, attempt.affinity);
                    let Some((next, trial)) = next.zip(self.enter().ok()) else {
                        left = 0;
                        continue;
                    };
                    if !self.budget.withdraw(now) {
                        self.counts.over_budget.add(1);
                        left = 0;
                        continue;
                    }
                    let Some(request) = self.repeated(attempt, exchange, terms) else {
                        self.budget.give_back();
                        left = 0;
                        continue;
                    };
                    self.counts.hedges.add(1);
                    runners.push(run(&next, trial, attempt.beside(request), true));
                }
            }
        }
    }

    /// The target for one more request beside these: one that was not asked before, or else one that is not being asked. An
    /// only one is asked twice.
    fn beside(&self, tried: &[Rc<Target>], runners: &[Runner<'_>], affinity: Affinity) -> Option<Rc<Target>> {
        let running: SmallVec<[Rc<Target>; 4]> = runners.iter().map(|runner| runner.target.clone()).collect();
        let asked: SmallVec<[Rc<Target>; 4]> = running.iter().chain(tried).cloned().collect();
        let other = self.upstream.next(&asked, affinity);
        other.or_else(|| self.upstream.next(&running, affinity)).or_else(|| {
            let is_only = running.iter().all(|target| Rc::ptr_eq(target, &running[0]));
            self.upstream.next(&[], affinity).filter(|_| is_only)
        })
    }
}
