//! What may go wrong with one attempt, drawn from a seed: the same attempt of the same request has the same fate in
//! every run, whatever else runs.

use fastrand::Rng;

use super::prompt::Prompt;
use crate::support::*;

const SEED: u64 = 0x5eed_50a4;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Fault {
    None,
    /// Well, but a write takes its time.
    Slow,
    RateLimited,
    /// The hint is short enough to be waited for.
    RateLimitedShortly,
    /// It is not.
    RateLimitedLong,
    OutOfCredits,
    ServerError,
    Overloaded,
    /// A 200 with an error in it.
    ErrorInside,
    /// Before the first byte.
    Reset,
    /// Not a byte.
    Hang,
    /// Somewhere within the body.
    Cut,
    /// In the middle of an event.
    CutInside,
    /// A reset somewhere within the body.
    ResetLate,
    /// Nothing more from somewhere within the body on.
    Stall,
}

/// Of a hundred attempts.
const SHARES: &[(Fault, u32)] = &[
    (Fault::None, 48),
    (Fault::Slow, 10),
    (Fault::RateLimited, 4),
    (Fault::RateLimitedShortly, 3),
    (Fault::RateLimitedLong, 2),
    (Fault::OutOfCredits, 1),
    (Fault::ServerError, 5),
    (Fault::Overloaded, 5),
    (Fault::ErrorInside, 3),
    (Fault::Reset, 4),
    (Fault::Hang, 3),
    (Fault::Cut, 4),
    (Fault::CutInside, 2),
    (Fault::ResetLate, 3),
    (Fault::Stall, 3),
];

impl Fault {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        SHARES.iter().map(|(fault, _)| *fault)
    }

    fn draw(rng: &mut Rng) -> Self {
        let mut ticket = rng.u32(..SHARES.iter().map(|(_, share)| share).sum::<u32>());
        for (fault, share) in SHARES {
            match ticket.checked_sub(*share) {
                Some(left) => ticket = left,
                None => return *fault,
            }
        }
        Self::None
    }
}

/// What becomes of one attempt.
pub(super) struct Fate {
    pub(super) fault: Fault,
    pub(super) answer: Answer,
    /// How long a model thinks before it answers.
    pub(super) latency_ms: u64,
    /// Between two writes.
    pub(super) pause_ms: u64,
}

impl Fate {
    /// Of the `attempt`-th request with this prompt at this upstream.
    pub(super) fn draw(prompt: &Prompt, upstream: usize, attempt: usize) -> Self {
        let of = [prompt.client, prompt.number, upstream, attempt].map(|n| u64::try_from(n).unwrap_or(u64::MAX));
        let seed = of.iter().fold(SEED, |seed, n| Rng::with_seed(seed ^ n).u64(..));
        let mut rng = Rng::with_seed(seed);
        let fault = Fault::draw(&mut rng);
        Self {
            fault,
            answer: answer(fault, prompt, &mut rng),
            latency_ms: rng.u64(20..800),
            pause_ms: if fault == Fault::Slow { rng.u64(50..250) } else { 0 },
        }
    }

    pub(super) fn none(prompt: &Prompt, latency_ms: u64) -> Self {
        Self {
            fault: Fault::None,
            answer: whole(prompt),
            latency_ms,
            pause_ms: 0,
        }
    }
}

fn whole(prompt: &Prompt) -> Answer {
    if prompt.stream {
        Answer::sse(prompt.events())
    } else {
        Answer::json(200, prompt.completion())
    }
}

/// The answer's first part. Of a stream never its finish, with which it would be whole.
fn part(prompt: &Prompt, rng: &mut Rng, inside: bool) -> Answer {
    if !prompt.stream {
        let whole = prompt.completion();
        return Answer::json(200, &whole[..rng.usize(1..whole.len())]);
    }
    let mut events = prompt.events();
    events.truncate(rng.usize(1..events.len() - 2));
    if inside && let Some(last) = events.last_mut() {
        last.truncate(rng.usize(1..last.len()));
    }
    Answer::sse(events)
}

fn answer(fault: Fault, prompt: &Prompt, rng: &mut Rng) -> Answer {
    let limited = || Answer::json(429, error("slow down", "requests", Some("rate_limit_exceeded")));
    match fault {
        Fault::None | Fault::Slow => whole(prompt),
        Fault::RateLimited => limited(),
        Fault::RateLimitedShortly => limited().header("retry-after-ms", "300"),
        Fault::RateLimitedLong => limited().header("retry-after-ms", "1500"),
        Fault::OutOfCredits => Answer::json(402, error("Insufficient Balance", "unknown_error", None)),
        Fault::ServerError => Answer::json(500, error("The server had an error", "server_error", None)),
        Fault::Overloaded => Answer::json(503, error("Overloaded", "server_error", None)),
        Fault::ErrorInside if prompt.stream => Answer::sse([prompt.error_event()]),
        Fault::ErrorInside => Answer::json(200, prompt.error_inside()),
        Fault::Reset => Answer::reset(),
        Fault::Hang => Answer::hang(),
        Fault::Cut => part(prompt, rng, false).then(Ending::Cut),
        Fault::CutInside => part(prompt, rng, true).then(Ending::Cut),
        Fault::ResetLate => part(prompt, rng, false).then(Ending::Reset),
        Fault::Stall => part(prompt, rng, false).then(Ending::Stall),
    }
}
