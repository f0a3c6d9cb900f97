//! The drill tells the gateway when a fault is cleared.

/// Told that an upstream was healed, by its name; returns how many cooldowns that has ended.
pub type Healed = Box<dyn Fn(&str) -> usize + Send + Sync>;
