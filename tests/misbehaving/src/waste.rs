//! Ways to use up what there is, which no compiler may optimise away.

use std::hint::black_box;

/// Computes for ever.
pub(crate) fn time() -> ! {
    let mut number = 0_u64;
    loop {
        number = black_box(number.wrapping_add(1));
    }
}

/// Computes for about a millisecond.
pub(crate) fn some_time() {
    for number in 0..200_000_u64 {
        black_box(number);
    }
}

/// Waits on the clock, without computing.
#[expect(
    clippy::disallowed_methods,
    reason = "this is what it is for, and the thread is the guest's"
)]
pub(crate) fn a_minute() {
    std::thread::sleep(std::time::Duration::from_secs(60));
}

/// Takes memory for ever.
pub(crate) fn memory() -> ! {
    let mut taken = Vec::new();
    loop {
        taken.push(black_box(vec![1_u8; 1 << 20]));
    }
}

/// Calls itself for ever.
#[expect(unconditional_recursion, reason = "this is what it is for")]
pub(crate) fn stack(depth: u64) {
    let frame = black_box([depth; 64]);
    stack(frame[0] + 1);
    black_box(frame);
}
