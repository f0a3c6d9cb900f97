"""A real systemd, thrown away afterwards: PID 1 of a container over an overlay of `/`. Nothing of the host is written."""

import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import uuid

BOOT_SECONDS = 60
OFF_SECONDS = 20
PATIENCE_SECONDS = 30

# Our own mounts: nspawn keeps its state in /run, and the overlay's upper layer must lie on a tmpfs.
PREPARE = r"""
mkdir "$CGROUP/$NAME"; echo $$ >"$CGROUP/$NAME/cgroup.procs"
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=755,size=2g tmpfs "$STATE"
umask 022
mkdir -p "$STATE/upper/etc/systemd/system" "$STATE/work" "$STATE/root"
printf '%s\n' "$MACHINE_ID" >"$STATE/upper/etc/machine-id"
# A small target to boot, so that the host's own services stay off.
printf '[Unit]\nRequires=sysinit.target dbus.socket\nAfter=sysinit.target dbus.socket\nAllowIsolate=yes\n' \
    >"$STATE/upper/etc/systemd/system/sandbox.target"
mount -t overlay overlay -o "lowerdir=/,upperdir=$STATE/upper,workdir=$STATE/work" "$STATE/root"
export UNIFIED_CGROUP_HIERARCHY=1 SYSTEMD_LOG_LEVEL=warning
exec "$NSPAWN" --quiet -D "$STATE/root" --machine="$NAME" --boot --register=no --keep-unit --link-journal=no \
    --console=pipe --resolv-conf=off --timezone=off --system-call-filter=bpf --private-network systemd.unit=sandbox.target
"""

ENVIRONMENT = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "SYSTEMD_PAGER=", "SYSTEMD_COLORS=0"]


def why_not():
    """What is missing here, or None."""
    if os.geteuid() != 0:
        return "not root: a container needs it"
    if not nspawn():
        return "systemd-nspawn is missing: ./scripts/test brings it (Debian: systemd-container)"
    for tool in ("unshare", "nsenter", "setpriv", "mount", "systemctl", "dbus-daemon"):
        if not shutil.which(tool):
            return f"{tool} is missing (Debian: util-linux, mount, systemd, dbus)"
    if not os.access(cgroup(), os.W_OK):
        return f"{cgroup()} can't be written"
    return None


def nspawn():
    return os.environ.get("SYSTEMD_NSPAWN") or shutil.which("systemd-nspawn")


def cgroup():
    """The root of cgroup version 2, also where version 1 is mounted beside it."""
    unified = pathlib.Path("/sys/fs/cgroup/unified")
    return unified if unified.is_dir() else unified.parent


def wait_until(what, condition, seconds=PATIENCE_SECONDS):
    """The condition's first true value. What it said last is told where there is none."""
    deadline = time.monotonic() + seconds
    while True:
        seen = condition()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain for {what}; last seen: {seen!r}")
        time.sleep(0.05)


class Sandbox:
    def __init__(self):
        self._directory = tempfile.TemporaryDirectory(prefix="switchback-systemd-")
        self._name = f"switchback-{os.getpid()}"
        self._console = pathlib.Path(self._directory.name, "console")
        self.leader = None
        state = pathlib.Path(self._directory.name, "state")
        state.mkdir()
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "CGROUP": str(cgroup()),
            "NAME": self._name,
            "STATE": str(state),
            "NSPAWN": nspawn(),
            "MACHINE_ID": uuid.uuid4().hex,
        }
        with open(self._console, "wb") as console:
            self._nspawn = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", "unshare", "--mount", "--propagation", "private", "bash", "-euc", PREPARE],
                env=environment, stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True,
            )
        try:
            wait_until("systemd to have booted", self._booted, BOOT_SECONDS)
        except BaseException:
            self.off()
            raise

    def _booted(self):
        if self._nspawn.poll() is not None:
            raise AssertionError("the container ended:\n" + self._console.read_text())
        children = pathlib.Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split()
        if not children:
            return False
        self.leader = int(children[0])
        return self.run("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded")

    def command(self, *command, only_network=False):
        """A command inside, or outside with the container's network only."""
        if only_network:
            return ["nsenter", "--target", str(self.leader), "--net", *command]
        return ["nsenter", "--target", str(self.leader), "--all", *ENVIRONMENT, *command]

    def run(self, *command, check=True, **options):
        done = subprocess.run(self.command(*command), capture_output=True, text=True, timeout=PATIENCE_SECONDS * 4, **options)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def out(self, *command):
        return self.run(*command).stdout.strip()

    def write(self, path, text, mode=0o644):
        self.run("sh", "-c", 'mkdir -p "$(dirname "$1")" && cat >"$1.new" && chmod "$2" "$1.new" && mv "$1.new" "$1"', "sh",
                 path, f"{mode:o}", input=text)

    def install(self, source, path, mode=0o755):
        """Puts a file of the host in place of another, as a package manager does."""
        with open(source, "rb") as content:
            command = self.command("sh", "-c", 'cat >"$1.new" && chmod "$2" "$1.new" && mv "$1.new" "$1"', "sh", path, f"{mode:o}")
            subprocess.run(command, stdin=content, check=True, timeout=PATIENCE_SECONDS * 4)

    def host_pid(self, pid):
        """The number that a process of the container has outside."""
        inside = os.readlink(f"/proc/{self.leader}/ns/pid")
        for directory in pathlib.Path("/proc").iterdir():
            try:
                if directory.name.isdigit() and os.readlink(directory / "ns/pid") == inside:
                    status = (directory / "status").read_text()
                    if status.split("NSpid:")[1].splitlines()[0].split()[-1] == str(pid):
                        return int(directory.name)
            except (FileNotFoundError, ProcessLookupError, PermissionError):  # It ends meanwhile, or is not ours to look at.
                pass
        raise AssertionError(f"the container has no process {pid}")

    def show(self, unit, name):
        return self.out("systemctl", "show", f"--property={name}", "--value", unit)

    def off(self):
        if self._nspawn.poll() is None:
            if self.leader:
                os.kill(self.leader, signal.SIGRTMIN + 4)  # As `systemctl poweroff`.
            else:
                self._nspawn.terminate()
            try:
                self._nspawn.wait(OFF_SECONDS)
            except subprocess.TimeoutExpired:
                self._nspawn.kill()
                self._nspawn.wait()
        for root in (cgroup(), pathlib.Path("/sys/fs/cgroup/systemd")):
            for path, _, _ in os.walk(root / self._name, topdown=False):
                try:
                    os.rmdir(path)
                except OSError:  # A process that is just ending; the next boot has another name.
                    pass
        self._directory.cleanup()
