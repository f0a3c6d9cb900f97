//! Random events against the invariants: an onlooker infers from outside which state the machine must be in.

use std::cmp::max;

use proptest::prelude::*;

use super::*;

/// What may happen to a machine. Indices choose among the passes that are out.
#[derive(Debug, Clone)]
enum Event {
    Wait(u64),
    Admit,
    AdmitAnyway,
    Answered(usize),
    Completed,
    Failed(usize, Class, Option<u64>),
    Abandoned(usize),
    Emptied(u64),
    /// Asked so long ago.
    Refilled(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let class = proptest::sample::select(&Class::ALL[..]);
    // Mostly transient ones: they are what adds up.
    let class = prop_oneof![3 => Just(Class::ServerError), 2 => class];
    let hint = proptest::option::weighted(0.2, 0..40_000_u64);
    prop_oneof![
        3 => (0..20_000_u64).prop_map(Event::Wait),
        5 => Just(Event::Admit),
        1 => Just(Event::AdmitAnyway),
        2 => any::<usize>().prop_map(Event::Answered),
        1 => Just(Event::Completed),
        5 => (any::<usize>(), class, hint).prop_map(|(pass, class, hint)| Event::Failed(pass, class, hint)),
        1 => any::<usize>().prop_map(Event::Abandoned),
        1 => (1..40_000_u64).prop_map(Event::Emptied),
        1 => (0..20_000_u64).prop_map(Event::Refilled),
    ]
}

/// What an onlooker knows who sees passes go out and come back, and nothing of the machine's inside.
#[derive(Default)]
struct Onlooker {
    open: Option<Opening>,
    /// Failures before an answer since the last answer, and after the answer's begin since the last whole one.
    in_a_row: (u32, u32),
}

struct Opening {
    class: Class,
    since: Instant,
    until: Instant,
    length: Duration,
    trial_is_out: bool,
}

impl Onlooker {
    fn failed(&mut self, is_trial: bool, setback: &Setback, now: Instant) {
        let at_once = setback.opens_at_once(&COOLDOWN);
        let reopened =
            |opening: &Opening| max(at_once.unwrap_or(COOLDOWN.base), (opening.length * 2).min(COOLDOWN.max));
        let length = match &self.open {
            None => {
                let count = match setback.class {
                    Class::Broken => &mut self.in_a_row.1,
                    _ => &mut self.in_a_row.0,
                };
                *count += 1;
                max(at_once, (*count >= COOLDOWN.after).then_some(COOLDOWN.base))
            }
            Some(opening) if is_trial && opening.trial_is_out => Some(reopened(opening)),
            Some(_) => at_once,
        };
        let Some(length) = length else { return };
        match &mut self.open {
            Some(opening) if !opening.trial_is_out => {
                if now + length > opening.until {
                    (opening.until, opening.length, opening.class) = (now + length, length, setback.class);
                }
            }
            open => {
                *open = Some(Opening {
                    class: setback.class,
                    since: now,
                    until: now + length,
                    length,
                    trial_is_out: false,
                });
                self.in_a_row = (0, 0);
            }
        }
    }

    fn answered(&mut self, is_trial: bool, granted: Instant) {
        match &self.open {
            None => self.in_a_row.0 = 0,
            Some(opening) if (is_trial && opening.trial_is_out) || granted > opening.since => {
                self.open = None;
                self.in_a_row = (0, 0);
            }
            Some(_) => {}
        }
    }

    fn emptied(&mut self, length: Duration, now: Instant) {
        let rests_already = |opening: &&mut Opening| {
            opening.class == Class::OutOfCredits && !opening.trial_is_out && now < opening.until
        };
        if let Some(opening) = self.open.as_mut().filter(rests_already) {
            opening.until = max(opening.until, now + length);
            return;
        }
        let until = self.open.as_ref().map_or(now, |opening| opening.until);
        let until = max(until, now + length);
        self.open = Some(Opening {
            class: Class::OutOfCredits,
            since: now,
            until,
            length: until - now,
            trial_is_out: false,
        });
        self.in_a_row = (0, 0);
    }

    fn refilled(&mut self, asked: Instant) {
        if let Some(opening) = &self.open
            && opening.class == Class::OutOfCredits
            && opening.since < asked
        {
            self.open = None;
            self.in_a_row = (0, 0);
        }
    }

    fn check(&self, health: &Health, now: Instant) {
        let standing = health.standing(now);
        match &self.open {
            None => assert_eq!(standing, Standing::Closed),
            Some(opening) if opening.trial_is_out => assert!(matches!(standing, Standing::OnTrial { .. })),
            Some(opening) if now >= opening.until => assert_eq!(standing, Standing::Due),
            Some(opening) => assert!(
                matches!(standing, Standing::Open { until, .. } if until == opening.until),
                "{standing:?} ends at another time"
            ),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_happens_the_invariants_hold(events in prop::collection::vec(event(), 1..200)) {
        let (mut health, mut onlooker, mut now) = (Health::default(), Onlooker::default(), start());
        let mut out: Vec<Pass> = Vec::new();
        // The trial whose outcome the machine awaits.
        let mut awaited: Option<u64> = None;
        for event in events {
            let until = |health: &Health| match health.standing(now) {
                Standing::Open { until, .. } => Some(until),
                _ => None,
            };
            let (until_before, standing) = (until(&health), health.standing(now));
            let mut take = |choice: usize| (!out.is_empty()).then(|| out.swap_remove(choice % out.len()));
            match event {
                Event::Wait(ms) => now += Duration::from_millis(ms),
                Event::Admit | Event::AdmitAnyway => {
                    let pass = match event {
                        Event::Admit => health.admit(now),
                        _ => Some(health.admit_anyway(now)),
                    };
                    if matches!(event, Event::Admit) {
                        prop_assert_eq!(pass.is_none(), standing.is_skipped());
                    }
                    let is_trial = pass.as_ref().is_some_and(Pass::is_trial);
                    prop_assert_eq!(is_trial, standing == Standing::Due, "one trial at a time, and only when it is due");
                    if let Some(opening) = onlooker.open.as_mut().filter(|_| is_trial) {
                        opening.trial_is_out = true;
                        awaited = pass.as_ref().and_then(|pass| pass.trial);
                    }
                    out.extend(pass);
                }
                Event::Answered(choice) => if let Some(pass) = take(choice) {
                    health.answered(&pass);
                    onlooker.answered(pass.is_trial() && pass.trial == awaited, pass.granted);
                }
                Event::Completed => {
                    health.completed();
                    if onlooker.open.is_none() {
                        onlooker.in_a_row.1 = 0;
                    }
                }
                Event::Failed(choice, class, hint) => if let Some(pass) = take(choice) {
                    let hint = hint.map(Duration::from_millis);
                    match Setback::of(class, Basis::Status, hint) {
                        Some(setback) => {
                            health.failed(&pass, &setback, &COOLDOWN, now);
                            onlooker.failed(pass.is_trial() && pass.trial == awaited, &setback, now);
                            if let (Some(before), Some(after)) = (until_before, until(&health)) {
                                prop_assert!(after >= before, "an end came closer");
                            }
                            if let Some(hint) = setback.opens_at_once(&COOLDOWN) {
                                prop_assert!(until(&health).is_some_and(|until| until >= now + hint));
                            }
                        }
                        // What the client did wrong: the pass comes back, and that is all.
                        None => {
                            health.abandoned(&pass);
                            if let Some(opening) = onlooker.open.as_mut().filter(|_| pass.trial.is_some() && pass.trial == awaited) {
                                opening.trial_is_out = false;
                            }
                        }
                    }
                }
                Event::Emptied(ms) => {
                    let length = Duration::from_millis(ms);
                    health.emptied(length, now);
                    onlooker.emptied(length, now);
                    prop_assert!(until(&health) >= until_before.max(Some(now + length)), "an end came closer");
                }
                Event::Refilled(ms) => {
                    let asked = now.checked_sub(Duration::from_millis(ms)).unwrap_or(now);
                    health.refilled(asked);
                    onlooker.refilled(asked);
                }
                Event::Abandoned(choice) => if let Some(pass) = take(choice) {
                    health.abandoned(&pass);
                    if let Some(opening) = onlooker.open.as_mut().filter(|_| pass.trial.is_some() && pass.trial == awaited) {
                        opening.trial_is_out = false;
                    }
                }
            }
            onlooker.check(&health, now);
        }
        // Never stuck: once all passes are back and its time is over, somebody may ask.
        out.iter().for_each(|pass| health.abandoned(pass));
        prop_assert!(health.admit(now + secs(3600)).is_some());
    }
}
