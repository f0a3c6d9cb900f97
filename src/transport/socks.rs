//! A tunnel by SOCKS5 (RFC 1928, with a login by RFC 1929). The proxy resolves names.

use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::tunnel_fault::TunnelFault;

const VERSION: u8 = 5;
const LOGIN_VERSION: u8 = 1;
const NO_LOGIN: u8 = 0;
const BY_LOGIN: u8 = 2;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;
const NO_SOCKS: TunnelFault = TunnelFault::Invalid("it speaks no SOCKS5");

/// Asks for a tunnel to `host` and `port`.
pub(super) async fn open(
    proxy: &mut (impl AsyncRead + AsyncWrite + Unpin),
    host: &str,
    port: u16,
    login: Option<&(String, String)>,
) -> Result<(), TunnelFault> {
    let methods: &[u8] = match login {
        Some(_) => &[VERSION, 2, NO_LOGIN, BY_LOGIN],
        None => &[VERSION, 1, NO_LOGIN],
    };
    proxy.write_all(methods).await?;
    proxy.flush().await?;
    match (read::<2>(proxy).await?, login) {
        ([VERSION, NO_LOGIN], _) => {}
        ([VERSION, BY_LOGIN], Some(login)) => log_in(proxy, login).await?,
        ([VERSION, _], None) => return Err(TunnelFault::NoLogin),
        ([VERSION, _], Some(_)) => return Err(TunnelFault::Refused("it wants another kind of login".to_owned())),
        _ => return Err(NO_SOCKS),
    }
    let mut request = vec![VERSION, CONNECT, 0];
    match host.parse() {
        Ok(IpAddr::V4(address)) => {
            request.push(IPV4);
            request.extend(address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            request.push(IPV6);
            request.extend(address.octets());
        }
        Err(_) => push_counted(&mut request, Some(NAME), host)?,
    }
    request.extend(port.to_be_bytes());
    proxy.write_all(&request).await?;
    proxy.flush().await?;
    let [version, reply, _, kind] = read::<4>(proxy).await?;
    if version != VERSION {
        return Err(NO_SOCKS);
    }
    if reply != 0 {
        return Err(TunnelFault::Refused(refusal(reply).to_owned()));
    }
    let address_bytes = match kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => usize::from(read::<1>(proxy).await?[0]),
        _ => return Err(NO_SOCKS),
    };
    // From where the proxy has connected: nobody here needs to know.
    proxy.read_exact(&mut vec![0; address_bytes + 2]).await?;
    Ok(())
}

async fn log_in(
    proxy: &mut (impl AsyncRead + AsyncWrite + Unpin),
    (user, password): &(String, String),
) -> Result<(), TunnelFault> {
    let mut request = vec![LOGIN_VERSION];
    push_counted(&mut request, None, user)?;
    push_counted(&mut request, None, password)?;
    proxy.write_all(&request).await?;
    proxy.flush().await?;
    match read::<2>(proxy).await? {
        [_, 0] => Ok(()),
        _ => Err(TunnelFault::Login),
    }
}

/// Appends `kind`, then `text` behind its length, which the configuration bounds.
fn push_counted(request: &mut Vec<u8>, kind: Option<u8>, text: &str) -> Result<(), TunnelFault> {
    let length = u8::try_from(text.len()).map_err(|_| TunnelFault::Invalid("a name is longer than it can take"))?;
    request.extend(kind);
    request.push(length);
    request.extend(text.as_bytes());
    Ok(())
}

async fn read<const BYTES: usize>(proxy: &mut (impl AsyncRead + Unpin)) -> Result<[u8; BYTES], TunnelFault> {
    let mut bytes = [0; BYTES];
    proxy.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// The meaning of a reply (RFC 1928 §6).
fn refusal(reply: u8) -> &'static str {
    match reply {
        1 => "it failed (1)",
        2 => "its rules do not allow this (2)",
        3 => "the network is unreachable (3)",
        4 => "the host is unreachable (4)",
        5 => "the upstream refused the connection (5)",
        6 => "the way is too long (6)",
        7 => "it does not know the command (7)",
        8 => "it does not know the kind of address (8)",
        _ => "a code that is none",
    }
}
