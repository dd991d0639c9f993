//! The memory and tables of one instance.

use wasmtime::ResourceLimiter;

use crate::limits;

/// Limits memory and tables of one instance, and records whether a limit was hit.
#[derive(Debug)]
pub(crate) struct Limiter {
    pub(crate) memory_max: usize,
    pub(crate) memory_bytes: usize,
    table_elements: usize,
    /// Whether the running call was refused memory.
    pub(crate) refused: bool,
}

impl Limiter {
    pub(crate) fn new(with_runtime: bool) -> Self {
        let memory_max = match with_runtime {
            true => limits::RUNTIME_MEMORY_BYTES_MAX,
            false => limits::MEMORY_BYTES_MAX,
        };
        Self { memory_max, memory_bytes: 0, table_elements: 0, refused: false }
    }

    /// Adds `desired - current` to `total`, unless the result would exceed `max`.
    fn grow(total: &mut usize, current: usize, desired: usize, max: usize) -> bool {
        let grown = total.saturating_add(desired.saturating_sub(current));
        let allowed = grown <= max;
        if allowed {
            *total = grown;
        }
        allowed
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let allowed = Self::grow(&mut self.memory_bytes, current, desired, self.memory_max);
        self.refused |= !allowed;
        Ok(allowed)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        Ok(Self::grow(&mut self.table_elements, current, desired, limits::TABLE_ELEMENTS_MAX))
    }

    fn memories(&self) -> usize {
        limits::MEMORIES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::Limiter;
    use crate::limits;
    use wasmtime::ResourceLimiter as _;

    #[test]
    fn the_limit_applies_to_all_memories_together() {
        let mut limiter = Limiter::new(false);
        let half = limits::MEMORY_BYTES_MAX / 2;
        assert!(limiter.memory_growing(0, half, None).unwrap());
        assert!(limiter.memory_growing(0, half, None).unwrap());
        assert!(!limiter.refused);
        assert!(!limiter.memory_growing(half, half + 1, None).unwrap());
        assert!(limiter.refused);
    }

    #[test]
    fn growing_past_the_modules_own_maximum_is_not_a_limit_error() {
        let mut limiter = Limiter::new(false);
        assert!(!limiter.memory_growing(0, 2 << 16, Some(1 << 16)).unwrap());
        assert!(!limiter.refused);
    }
}
