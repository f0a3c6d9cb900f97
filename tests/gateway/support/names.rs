//! A nameserver of the test's own, and a gateway that asks no other: it runs in a mount namespace with its own
//! `/etc/resolv.conf`.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::gateway::free_address;
use super::soon;

const PORT: u16 = 53;

/// Answers with the addresses that it was told, or not at all.
pub(crate) struct Nameserver {
    address: IpAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// By name. `None`: nothing is answered.
    names: Option<HashMap<String, Vec<IpAddr>>>,
    questions: usize,
}

impl Nameserver {
    /// One that is silent until it is told what to say. `None` where nothing can be tested, and nothing has to be:
    /// port 53 and a mount namespace need root.
    pub(crate) async fn silent() -> Option<Self> {
        if namespace().is_none() {
            return untested("no mount namespace can be made");
        }
        let socket = loop {
            let address = free_address().ip();
            match UdpSocket::bind((address, PORT)).await {
                Ok(socket) => break socket,
                Err(error) if error.kind() == ErrorKind::AddrInUse => {}
                Err(error) => return untested(&format!("port {PORT}: {error}")),
            }
        };
        let address = socket.local_addr().expect("a bound socket has an address").ip();
        let shared = Arc::<Shared>::default();
        let task = tokio::spawn(serve(socket, Arc::clone(&shared)));
        Some(Self { address, shared, task })
    }

    /// From now on `name` has these addresses, and no other name any.
    pub(crate) fn say(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|address| address.parse().expect("an address"));
        self.state().names = Some(HashMap::from([(name.to_owned(), addresses.collect())]));
    }

    pub(crate) fn fall_silent(&self) {
        self.state().names = None;
    }

    /// How many questions came so far: a lookup asks two, for IPv4 and for IPv6.
    pub(crate) fn questions(&self) -> usize {
        self.state().questions
    }

    /// Waits until so many questions have come.
    pub(crate) async fn asked(&self, questions: usize) {
        soon("a question to the nameserver", async {
            loop {
                let changed = self.shared.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if self.questions() >= questions {
                    return;
                }
                changed.await;
            }
        })
        .await;
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.shared.state.lock().expect("no test panics with the names locked")
    }

    /// The `resolv.conf` of a machine that asks `servers` in this order.
    pub(crate) fn conf(servers: &[&Self], options: &str) -> String {
        let mut conf = format!("options {options}\n");
        servers
            .iter()
            .for_each(|server| conf.push_str(&format!("nameserver {}\n", server.address)));
        conf
    }
}

impl Drop for Nameserver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[allow(clippy::explicit_write, reason = "eprintln! is swallowed by the test harness")]
fn untested<T>(reason: &str) -> Option<T> {
    use std::io::Write;
    assert!(
        std::env::var_os("CI").is_none(),
        "the resolver can't be tested: {reason}"
    );
    writeln!(
        std::io::stderr(),
        "not tested with a nameserver: {reason} (run as root)"
    )
    .expect("stderr is open");
    None
}

async fn serve(socket: UdpSocket, shared: Arc<Shared>) {
    let mut packet = [0; 512];
    while let Ok((length, peer)) = socket.recv_from(&mut packet).await {
        let answer = shared.state.lock().ok().and_then(|mut state| {
            state.questions += 1;
            answer(&packet[..length], state.names.as_ref()?)
        });
        shared.changed.notify_waiters();
        if let Some(answer) = answer {
            let _ = socket.send_to(&answer, peer).await;
        }
    }
}

/// The answer to a packet with one question (RFC 1035 §4.1). A name that is not known does not exist.
fn answer(packet: &[u8], names: &HashMap<String, Vec<IpAddr>>) -> Option<Vec<u8>> {
    const HEADER: usize = 12;
    let mut labels = Vec::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*packet.get(at)?);
        let label = packet.get(at + 1..at + 1 + length)?;
        at += 1 + length;
        if label.is_empty() {
            break;
        }
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
    }
    let question = packet.get(HEADER..at + 4)?;
    let kind = u16::from_be_bytes([packet[at], packet[at + 1]]);
    let addresses = names.get(&labels.join("."));
    let records: Vec<(u16, Vec<u8>)> = addresses
        .into_iter()
        .flatten()
        .map(|address| match address {
            IpAddr::V4(address) => (1, address.octets().to_vec()),
            IpAddr::V6(address) => (28, address.octets().to_vec()),
        })
        .filter(|(of, _)| *of == kind)
        .collect();
    let code = if addresses.is_some() { 0 } else { 3 };
    let mut answer = vec![packet[0], packet[1], 0x81, 0x80 | code, 0, 1];
    answer.extend(u16::try_from(records.len()).ok()?.to_be_bytes());
    answer.extend([0; 4]);
    answer.extend(question);
    for (of, octets) in records {
        answer.extend([0xc0, 0x0c]);
        answer.extend(of.to_be_bytes());
        answer.extend([0, 1, 0, 0, 0, 60]);
        answer.extend(u16::try_from(octets.len()).ok()?.to_be_bytes());
        answer.extend(octets);
    }
    Some(answer)
}

/// What makes a mount namespace here: as root, or where unprivileged users may have one.
fn namespace() -> Option<&'static [&'static str]> {
    const WAYS: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];
    WAYS.into_iter().find(|way| {
        let made = Command::new("unshare")
            .args(*way)
            .arg("true")
            .stderr(Stdio::null())
            .status();
        made.is_ok_and(|status| status.success())
    })
}

/// The command line that runs `program` where names are looked up as `resolv_conf` says, and nowhere else. It becomes
/// the program: the process id stays.
pub(crate) fn with_names(program: &Path, directory: &Path, resolv_conf: &str) -> (OsString, Vec<OsString>) {
    let mut mounts = String::new();
    for (name, text) in [
        ("resolv.conf", resolv_conf),
        ("hosts", ""),
        ("nsswitch.conf", "hosts: dns\n"),
    ] {
        let file = directory.join(name);
        std::fs::write(&file, text).expect("the temporary directory takes a file");
        mounts.push_str(&format!("mount --bind '{}' /etc/{name} && ", file.display()));
    }
    let way = namespace().expect("a nameserver would not have started without one");
    let script = format!("{mounts}exec \"$0\" \"$@\"");
    let words = way.iter().copied().chain(["sh", "-c", &script]).map(OsString::from);
    (
        "unshare".into(),
        words.chain([program.as_os_str().to_owned()]).collect(),
    )
}
