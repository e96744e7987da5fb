//! How much memory an instance may take.

use wasmtime::ResourceLimiter;

/// Refuses memory past a limit, and remembers that it did: a Rust guest turns the refusal into a trap of its own.
#[derive(Debug)]
pub(super) struct MemoryLimit {
    limit: usize,
    used: usize,
    refused: bool,
}

/// Elements of all tables of an instance: far more than the function tables of compiled languages hold.
const TABLE_ELEMENTS: usize = 20_000;

impl MemoryLimit {
    pub(super) fn new(limit: usize) -> MemoryLimit {
        MemoryLimit {
            limit,
            used: 0,
            refused: false,
        }
    }

    /// Whether growth was refused since the last time this was asked.
    pub(super) fn take_refused(&mut self) -> bool {
        std::mem::take(&mut self.refused)
    }

    /// Bytes of linear memory.
    pub(super) fn used(&self) -> usize {
        self.used
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let used = self.used - current.min(self.used) + desired;
        let allowed = used <= self.limit;
        if allowed {
            self.used = used;
        } else {
            self.refused = true;
        }
        Ok(allowed)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_past_the_limit_is_refused_and_remembered() {
        let mut limit = MemoryLimit::new(100);
        assert!(limit.memory_growing(0, 60, None).unwrap());
        assert!(!limit.memory_growing(60, 101, None).unwrap());
        assert_eq!(limit.used(), 60);
        assert!(limit.take_refused());
        assert!(!limit.take_refused());
    }

    #[test]
    fn several_memories_share_one_limit() {
        let mut limit = MemoryLimit::new(100);
        assert!(limit.memory_growing(0, 60, None).unwrap());
        assert!(!limit.memory_growing(0, 60, None).unwrap());
        assert!(limit.memory_growing(0, 40, None).unwrap());
    }
}
