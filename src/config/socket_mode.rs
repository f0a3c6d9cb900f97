//! `mode` of a unix socket: the permissions of its file, as octal text.

use super::diagnostic::Complaint;

/// The default mode of a socket: everybody may connect, so that a proxy which runs as another user can.
pub const OPEN_SOCKET_MODE: u32 = 0o666;

/// `0660`, `0o660` or `660`, however YAML would read it.
pub(super) fn parse(text: &str) -> Result<u32, Complaint> {
    let bad = |reason: &str| Complaint::new("bad-mode", reason, "write octal permissions, as in `mode: 0660`");
    let digits = text
        .strip_prefix("0o")
        .or_else(|| text.strip_prefix('0'))
        .unwrap_or(text);
    if digits.len() != 3 || !digits.bytes().all(|byte| (b'0'..=b'7').contains(&byte)) {
        return Err(bad("is not the mode of a socket"));
    }
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if mode & 0o600 == 0o600 => Ok(mode),
        _ => Err(bad("keeps the socket's own user out")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal() {
        for (text, mode) in [
            ("0660", 0o660),
            ("660", 0o660),
            ("0o660", 0o660),
            ("0600", 0o600),
            ("0777", 0o777),
        ] {
            assert_eq!(parse(text), Ok(mode), "{text}");
        }
        for text in [
            "", "0", "06", "0888", "432", "1b0", "0x1b0", "-660", "+660", "0060", "01660", "u=rw", "660.0", "00660",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
