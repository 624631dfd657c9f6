//! A lock that is the name of a socket: the kernel gives each abstract name once, to whatever user, and takes it back with the
//! process. There is no file to be left behind, or to be put there by somebody else.

use std::{
    io::{self, Read as _, Write as _},
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixListener, UnixStream},
    },
    process, thread,
    time::Duration,
};

/// How long whoever holds a lock may take to say who it is.
const ANSWER: Duration = Duration::from_secs(1);

/// The most digits of a process's number.
const DIGITS: u64 = 10;

/// The name, held until the process ends.
#[derive(Debug)]
pub(super) struct Held {
    _listener: UnixListener,
}

/// Holds `name`, unless somebody else does.
///
/// # Errors
/// The system gives no socket or no thread.
pub(super) fn try_hold(name: &str) -> io::Result<Option<Held>> {
    let listener = match UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Ok(None),
        bound => bound?,
    };
    let asked = listener.try_clone()?;
    let tell = move || {
        // Whoever asks and goes away misses the answer, and nothing else.
        asked.incoming().map_while(Result::ok).for_each(|mut stream| {
            let _ = write!(stream, "{}", process::id());
        });
    };
    thread::Builder::new().spawn(tell)?;
    Ok(Some(Held { _listener: listener }))
}

/// The number of the process that holds `name`, as it says itself.
pub(super) fn holder(name: &str) -> Option<u32> {
    let ask = || {
        let stream = UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?)?;
        stream.set_read_timeout(Some(ANSWER))?;
        let mut number = String::new();
        stream.take(DIGITS).read_to_string(&mut number)?;
        number.parse().map_err(io::Error::other)
    };
    ask().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_held_once_and_says_by_whom() {
        let name = format!("dustin-autotune/test/{}", process::id());
        assert_eq!(holder(&name), None);
        let held = try_hold(&name).unwrap();
        assert!(held.is_some() && try_hold(&name).unwrap().is_none());
        assert_eq!(holder(&name), Some(process::id()));
    }

    #[test]
    fn a_name_that_no_socket_can_have_is_an_error() {
        assert!(try_hold(&"x".repeat(200)).is_err());
    }
}
