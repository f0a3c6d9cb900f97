//! What a failed attempt says about its target: nothing, or that the target or the upstream should rest.

use std::time::Duration;

use crate::classify::{Basis, Class, Testimony};
use crate::config::Cooldown;

pub use crate::classify::Scope;

/// A failure that rests on words alone keeps nobody out for longer than this, the first time.
pub(super) const WORDED_MAX: Duration = Duration::from_secs(60);

/// A failure that counts against somebody.
#[derive(Debug, Clone, Copy)]
pub struct Setback {
    pub scope: Scope,
    pub class: Class,
    retry_after: Option<Duration>,
    /// Present if words alone say so: whose they are, and who was told them.
    pub(super) testimony: Option<Testimony>,
}

impl Setback {
    /// Returns what to count. `None` if nobody is to blame: what the client did wrong never counts, and neither does
    /// what it may have made the upstream say.
    pub fn of(class: Class, basis: Basis, retry_after: Option<Duration>) -> Option<Self> {
        let testimony = match basis {
            Basis::Status | Basis::Code => None,
            Basis::Wording(testimony) => Some(testimony),
            Basis::Echo => return None,
        };
        Some(Self {
            scope: class.cools()?,
            class,
            // A time that has passed is no wish to be left alone.
            retry_after: retry_after.filter(|wait| !wait.is_zero()),
            testimony,
        })
    }

    /// The same, borne out by something else than words.
    pub(super) fn borne_out(self) -> Self {
        Self {
            testimony: None,
            ..self
        }
    }

    /// The same failure in an answer that had begun: one that broke off.
    pub(super) fn as_broken(self) -> Self {
        Self {
            scope: Scope::Target,
            class: Class::Broken,
            testimony: None,
            ..self
        }
    }

    /// Returns whether the fault lies with the account and not with the upstream.
    pub(super) fn is_the_accounts(&self) -> bool {
        matches!(
            self.class,
            Class::Auth | Class::OutOfCredits | Class::RateLimited | Class::ModelNotFound
        )
    }

    /// The class's own duration; `None` for those that are counted.
    pub(super) fn own_duration(&self, cooldown: &Cooldown) -> Option<Duration> {
        match self.class {
            Class::OutOfCredits => Some(cooldown.out_of_credits),
            Class::Auth => Some(cooldown.auth),
            Class::ModelNotFound => Some(cooldown.model_not_found),
            _ => None,
        }
    }

    /// Returns how long it opens at once: the class's own duration, or the upstream's wish if that is longer. `None`:
    /// it is counted.
    pub(super) fn opens_at_once(&self, cooldown: &Cooldown) -> Option<Duration> {
        self.own_duration(cooldown).max(self.retry_after)
    }

    /// Returns whether the answer had begun: that is counted separately, because every answer begins before it can
    /// break off.
    pub(super) fn after_commit(&self) -> bool {
        self.class == Class::Broken
    }
}
