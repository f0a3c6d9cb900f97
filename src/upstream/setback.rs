//! What a failed attempt says about whom it was made to: nothing, or that the target or the upstream should rest.

use std::time::Duration;

use crate::classify::Class;
use crate::config::Cooldown;

pub use crate::classify::Scope;

/// A failure that counts against somebody.
#[derive(Debug, Clone, Copy)]
pub struct Setback {
    pub scope: Scope,
    pub class: Class,
    retry_after: Option<Duration>,
}

impl Setback {
    /// `None` where nobody is to blame: what the client did wrong never counts.
    pub fn of(class: Class, retry_after: Option<Duration>) -> Option<Self> {
        Some(Self {
            scope: class.cools()?,
            class,
            // A time that has passed is no wish to be left alone.
            retry_after: retry_after.filter(|wait| !wait.is_zero()),
        })
    }

    /// Whether the account is what is wrong, and not the upstream.
    pub(super) fn is_the_accounts(&self) -> bool {
        matches!(
            self.class,
            Class::Auth | Class::OutOfCredits | Class::RateLimited | Class::ModelNotFound
        )
    }

    /// For how long it opens at once: the class's own duration, or the upstream's wish if that is longer. `None`: it is
    /// counted.
    pub(super) fn opens_at_once(&self, cooldown: &Cooldown) -> Option<Duration> {
        let own = match self.class {
            Class::OutOfCredits => Some(cooldown.out_of_credits),
            Class::Auth => Some(cooldown.auth),
            Class::ModelNotFound => Some(cooldown.model_not_found),
            _ => None,
        };
        own.max(self.retry_after)
    }

    /// Whether the answer had begun: counted apart, because every answer begins before it can break off.
    pub(super) fn after_commit(&self) -> bool {
        self.class == Class::Broken
    }
}
