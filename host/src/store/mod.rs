//! State that filters share across threads, in this process's memory.

pub(crate) mod rate;
