//! The clock that filters are held to: it moves the engine's epoch on, but only while some call takes long.
//!
//! A thread that wakes up every millisecond to do so takes about 5 % of the throughput of the core it shares (measured on
//! two virtual cores); nearly all calls end within microseconds and need no clock. So the clock looks at times which threads
//! are in a guest, and begins to tick when one has stayed in the same stretch of guest code from one look to the next, or
//! when a call has had to wait. Threads are those of the process: another engine's long call makes this clock tick too.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

/// How often the epoch moves on while a call takes long: the grain of CPU budgets, and how long a filter that computes on
/// then keeps its thread from others.
pub(super) const TICK: Duration = Duration::from_millis(1);

/// How often the clock looks while calls are made. The first stretch of a long call goes on for this and one tick more
/// before it is first interrupted.
const LOOK: Duration = Duration::from_millis(5);
/// How often it looks while none are: what a call after a rest may have, with one tick, beyond its budget.
const REST: Duration = Duration::from_millis(10);
/// Ticks without a long call after which it only looks again.
const PATIENCE: u32 = 10;

/// The clock of one engine. It ends with this.
pub(super) struct Clock {
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    stop: AtomicBool,
    /// A call has crossed more than one tick, or has had to wait.
    long: AtomicBool,
}

/// One thread's stretches of guest code: odd while it is in one, another number in each.
type Stretches = AtomicU64;

static THREADS: Mutex<Vec<Weak<Stretches>>> = Mutex::new(Vec::new());

thread_local! {
    static STRETCHES: Arc<Stretches> = {
        let stretches = Arc::new(Stretches::new(0));
        let mut threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|thread| thread.strong_count() > 0);
        threads.push(Arc::downgrade(&stretches));
        stretches
    };
}

/// A stretch of guest code on this thread, from one poll of a call to its next pause.
pub(super) fn in_guest<T>(stretch: impl FnOnce() -> T) -> T {
    /// Ends the stretch also where it unwinds.
    struct Left<'a>(&'a Stretches);
    impl Drop for Left<'_> {
        fn drop(&mut self) {
            // This thread alone writes.
            self.0
                .store(self.0.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
    }
    STRETCHES.with(|stretches| {
        let left = Left(stretches);
        stretches.store(stretches.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        let result = stretch();
        drop(left);
        result
    })
}

impl Clock {
    /// Starts the clock; `tick` moves the epoch on.
    pub(super) fn start(tick: impl Fn() + Send + 'static) -> io::Result<Clock> {
        let state = Arc::new(State::default());
        let ticking = state.clone();
        thread::Builder::new()
            .name("epoch".into())
            .spawn(move || run(&ticking, tick))?;
        Ok(Clock { state })
    }

    /// Says that a call has crossed this many ticks.
    pub(super) fn crossed(&self, ticks: u32) {
        // One tick is crossed by chance.
        if ticks > 1 {
            self.waits();
        }
    }

    /// Says that a call waits: one that computes a little, waits a little and so on is never seen in the same stretch twice.
    pub(super) fn waits(&self) {
        self.state.long.store(true, Ordering::Relaxed);
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
    }
}

#[expect(clippy::disallowed_methods, reason = "the thread is the clock's own")]
fn run(state: &State, tick: impl Fn()) {
    let (mut seen, mut looked, mut ticks) = (Vec::new(), Vec::new(), 0);
    while !state.stop.load(Ordering::Relaxed) {
        if ticks > 0 {
            thread::sleep(TICK);
            tick();
            let long = state.long.swap(false, Ordering::Relaxed);
            ticks = if long { PATIENCE } else { ticks - 1 };
            continue;
        }
        thread::sleep(if looked == seen { REST } else { LOOK });
        std::mem::swap(&mut seen, &mut looked);
        look(&mut looked);
        if state.long.swap(false, Ordering::Relaxed) {
            tick();
            ticks = PATIENCE;
            continue;
        }
        if looked.iter().all(|stretch| stretch % 2 == 0) {
            continue;
        }
        // Somebody is in a guest: perhaps since the last look, perhaps just now.
        thread::sleep(TICK);
        look(&mut seen);
        if looked
            .iter()
            .zip(&seen)
            .any(|(before, now)| before == now && now % 2 == 1)
        {
            tick();
            ticks = PATIENCE;
        }
    }
}

/// Where all threads are.
fn look(stretches: &mut Vec<u64>) {
    let threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
    stretches.clear();
    // A thread that has ended keeps its place until the next one begins, so that places mean the same in two looks.
    stretches.extend(threads.iter().map(|thread| {
        thread
            .upgrade()
            .map_or(0, |stretches| stretches.load(Ordering::Relaxed))
    }));
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;
    use std::time::Instant;

    use super::*;

    fn ticked() -> (Clock, Arc<AtomicU32>) {
        let ticks = Arc::new(AtomicU32::new(0));
        let counted = ticks.clone();
        let tick = move || _ = counted.fetch_add(1, Ordering::Relaxed);
        (Clock::start(tick).unwrap(), ticks)
    }

    #[test]
    fn a_long_stretch_makes_it_tick() {
        let (_clock, ticks) = ticked();
        let start = Instant::now();
        in_guest(|| {
            while ticks.load(Ordering::Relaxed) < 5 {
                assert!(start.elapsed() < Duration::from_secs(10), "it does not tick");
                std::hint::spin_loop();
            }
        });
    }

    #[test]
    fn short_stretches_do_not() {
        let (_clock, ticks) = ticked();
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(100) {
            in_guest(|| std::hint::black_box(0));
        }
        // A machine that holds this thread up in the middle of a stretch makes it seem long.
        assert!(ticks.load(Ordering::Relaxed) < 50, "{ticks:?}");
    }

    #[test]
    fn a_call_that_waits_makes_it_tick_for_a_while() {
        let (clock, ticks) = ticked();
        clock.waits();
        let start = Instant::now();
        while ticks.load(Ordering::Relaxed) <= PATIENCE {
            assert!(start.elapsed() < Duration::from_secs(10), "it does not tick");
            pause(TICK);
        }
    }

    #[test]
    fn it_ends_with_its_engine() {
        let (clock, ticks) = ticked();
        drop(clock);
        let start = Instant::now();
        // Its thread holds one count.
        while Arc::strong_count(&ticks) > 1 {
            assert!(start.elapsed() < Duration::from_secs(10), "its thread goes on");
            pause(Duration::from_millis(1));
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the test's own thread waits for the clock's")]
    fn pause(time: Duration) {
        thread::sleep(time);
    }
}
