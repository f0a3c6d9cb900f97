//! The addresses of names, looked up on threads of their own and kept for whoever needs them.
//!
//! `getaddrinfo` may take as long as it likes: ten seconds where the first nameserver is dead, for ever where a library
//! behind it hangs. So nobody runs it as part of a request. A name has one lookup at a time, its result is kept whoever
//! still waits for it, and addresses that are known are used while it runs and after it has failed.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::watch;
use tokio::time::Instant;

/// `getaddrinfo` tells no lifetime; short enough to follow a provider that moves, long enough to spare the resolver.
const RENEWED_AFTER: Duration = Duration::from_secs(30);
/// A lookup that has failed is not repeated sooner than this after it began.
const RETRIED_AFTER: Duration = Duration::from_secs(1);
/// Addresses of one name that are used.
const ADDRESSES_MAX: usize = 8;
/// Lookups under way at once, over all names: each has a thread, which a resolver that hangs never gives back.
const LOOKUPS_MAX: usize = 64;

/// Looks a name up, and may block. The ports of what it returns mean nothing.
type LookUp = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Knows every name that is in use. Endpoints of consecutive configurations share it, so that a reload neither forgets
/// addresses nor looks up again what is being looked up.
pub struct Resolver {
    look_up: Box<LookUp>,
    names: Mutex<HashMap<String, Weak<Name>>>,
    running: AtomicUsize,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

impl Resolver {
    /// The system's resolver.
    pub fn system() -> Arc<Self> {
        Self::new(|host| Ok((host, 0).to_socket_addrs()?.collect()))
    }

    fn new(look_up: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            look_up: Box::new(look_up),
            names: Mutex::default(),
            running: AtomicUsize::new(0),
        })
    }

    /// The name `host`, the same one for all who ask while it is in use or being looked up.
    pub(super) fn name(self: &Arc<Self>, host: &str) -> Arc<Name> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = names.get(host).and_then(Weak::upgrade) {
            return name;
        }
        names.retain(|_, name| name.strong_count() > 0);
        let name = Arc::new(Name {
            host: host.to_owned(),
            resolver: Arc::clone(self),
            known: ArcSwapOption::empty(),
            lookup: watch::Sender::new(Lookup::default()),
        });
        names.insert(host.to_owned(), Arc::downgrade(&name));
        name
    }

    /// A place among the lookups that run, if there is one left.
    fn enter(&self) -> bool {
        let entered = self
            .running
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |running| {
                (running < LOOKUPS_MAX).then_some(running + 1)
            });
        entered.is_ok()
    }

    fn leave(&self) {
        self.running.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One name, and what is known of it.
pub(super) struct Name {
    host: String,
    resolver: Arc<Resolver>,
    known: ArcSwapOption<Known>,
    lookup: watch::Sender<Lookup>,
}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Name").field("host", &self.host).finish_non_exhaustive()
    }
}

struct Known {
    /// Never empty. The same allocation for as long as they stay the same.
    addresses: Arc<[SocketAddr]>,
    renewed_at: Instant,
}

/// The lookup that runs, or how the last one ended.
#[derive(Debug, Clone, Default)]
struct Lookup {
    running: bool,
    began_at: Option<Instant>,
    failure: Option<Arc<str>>,
}

impl Lookup {
    fn is_due(&self, now: Instant) -> bool {
        let pause = if self.failure.is_some() {
            RETRIED_AFTER
        } else {
            RENEWED_AFTER
        };
        !self.running && self.began_at.is_none_or(|at| now.duration_since(at) >= pause)
    }
}

impl Name {
    /// The addresses that are known, in the order in which to try them. Where they are old, a lookup begins.
    pub(super) fn known(self: &Arc<Self>) -> Option<Arc<[SocketAddr]>> {
        let known = self.known.load();
        let known = known.as_ref()?;
        let now = Instant::now();
        if now.duration_since(known.renewed_at) >= RENEWED_AFTER {
            self.look_up_if_due(now);
        }
        Some(Arc::clone(&known.addresses))
    }

    /// The addresses, once there are any.
    ///
    /// # Errors
    /// Why there are none: the reason of the lookup that has just failed, or of one that failed within the last second.
    pub(super) async fn addresses(self: &Arc<Self>) -> Result<Arc<[SocketAddr]>, Arc<str>> {
        if let Some(addresses) = self.known() {
            return Ok(addresses);
        }
        let mut lookup = self.lookup.subscribe();
        self.look_up_if_due(Instant::now());
        let failure = match lookup.wait_for(|lookup| !lookup.running).await {
            Ok(ended) => ended.failure.clone(),
            Err(_) => None,
        };
        self.known()
            .ok_or_else(|| failure.unwrap_or_else(|| Arc::from("no address")))
    }

    /// Begins a lookup unless one runs or the last one is recent enough. Nobody has to wait for it.
    pub(super) fn look_up_if_due(self: &Arc<Self>, now: Instant) {
        let mut began = false;
        self.lookup.send_if_modified(|lookup| {
            began = lookup.is_due(now);
            if began {
                lookup.running = true;
                lookup.began_at = Some(now);
            }
            false
        });
        if !began {
            return;
        }
        if !self.resolver.enter() {
            return self.settle(Err(format!("{LOOKUPS_MAX} lookups are under way already")), now);
        }
        let name = Arc::clone(self);
        let thread = std::thread::Builder::new().name("lookup".to_owned());
        let spawned = thread.spawn(move || {
            let found = (name.resolver.look_up)(&name.host);
            name.resolver.leave();
            name.settle(found.map_err(|error| error.to_string()), now);
        });
        if let Err(error) = spawned {
            self.resolver.leave();
            self.settle(Err(format!("no thread for a lookup: {error}")), now);
        }
    }

    /// The lookup that began at `began_at` has ended. One that found nothing changes nothing about what is known.
    fn settle(&self, found: Result<Vec<SocketAddr>, String>, began_at: Instant) {
        let found = found.and_then(|found| {
            let addresses = in_trying_order(found);
            if addresses.is_empty() {
                return Err("no address".to_owned());
            }
            Ok(addresses)
        });
        let failure = match found {
            Ok(addresses) => {
                let known = self.known.load();
                let unchanged = known.as_ref().filter(|known| *known.addresses == *addresses);
                let addresses = unchanged.map_or_else(|| Arc::from(addresses), |known| Arc::clone(&known.addresses));
                self.known.store(Some(Arc::new(Known {
                    addresses,
                    renewed_at: began_at,
                })));
                None
            }
            Err(reason) => Some(Arc::from(reason)),
        };
        self.lookup.send_modify(|lookup| {
            lookup.running = false;
            lookup.failure = failure;
        });
    }
}

/// Address families take turns, beginning with that of the first address, so that a network without one of them costs
/// one attempt and not all (RFC 8305 §4).
fn in_trying_order(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mut distinct: Vec<SocketAddr> = Vec::new();
    for address in found {
        if !distinct.contains(&address) {
            distinct.push(address);
        }
    }
    let first_is_v6 = distinct.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = distinct
        .into_iter()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let mut second = second.into_iter();
    let mut ordered = Vec::new();
    for address in first {
        ordered.push(address);
        ordered.extend(second.next());
    }
    ordered.extend(second);
    ordered.truncate(ADDRESSES_MAX);
    ordered
}

#[cfg(test)]
mod tests;
