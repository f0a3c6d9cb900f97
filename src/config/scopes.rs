//! Settings that narrower scopes override: a target's lie over its route's, those over its upstream's, those over the policy's.

use std::time::Duration;

macro_rules! with_overrides {
    ($(#[$doc:meta])* $name:ident, $overrides:ident { $($field:ident: $ty:ty = $default:expr),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name { $(pub $field: $ty),+ }

        impl Default for $name {
            fn default() -> Self { Self { $($field: $default),+ } }
        }

        /// The fields that were written; the others come from the next wider scope.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct $overrides { $(pub $field: Option<$ty>),+ }

        impl $name {
            /// Returns `self` overridden by what `narrower` sets.
            pub fn with(self, narrower: &$overrides) -> Self {
                Self { $($field: narrower.$field.unwrap_or(self.$field)),+ }
            }
        }
    };
}

with_overrides! {
    /// The six clocks. See docs/behaviour.md, "Attempt", for when each of them runs. `headers` and `first_token` bound the beginning of a
    /// stream, where a wrong cut costs a second beginning; `answer` and `idle` what a wrong cut loses for good.
    Timeouts, TimeoutOverrides {
        connect: Duration = Duration::from_secs(3),
        headers: Duration = Duration::from_secs(60),
        first_token: Duration = Duration::from_secs(2 * 60),
        answer: Duration = Duration::from_secs(10 * 60),
        idle: Duration = Duration::from_secs(5 * 60),
        deadline: Duration = Duration::from_secs(15 * 60),
    }
}

with_overrides! {
    Retry, RetryOverrides {
        attempts: u32 = 6,
        same_target: u32 = 1,
        backoff: Duration = Duration::from_millis(250),
        max_backoff: Duration = Duration::from_secs(2),
        max_wait: Duration = Duration::from_secs(3),
    }
}

with_overrides! {
    /// When and for how long a target or an upstream is left alone. `after: 0` means never for failures in a row.
    Cooldown, CooldownOverrides {
        after: u32 = 3,
        base: Duration = Duration::from_secs(5),
        max: Duration = Duration::from_secs(15),
        out_of_credits: Duration = Duration::from_secs(600),
        auth: Duration = Duration::from_secs(300),
        model_not_found: Duration = Duration::from_secs(600),
    }
}
