//! What arrives on a connected socket, received without the GIL.

use std::io;
use std::os::raw::c_int;
use std::time::Duration;
#[cfg(unix)]
use std::{
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    time::Instant,
};

/// What [`receive`] got.
pub(crate) struct Received {
    /// Bytes written to the front of the buffer.
    pub(crate) length: usize,
    /// The peer sends no more.
    pub(crate) is_ended: bool,
}

/// Receives until the buffer is full, the peer has ended, the time is over, or a signal came, whichever is first.
///
/// # Errors
/// The system's, if nothing came before it. The connection is of no use then.
#[cfg(unix)]
pub(crate) fn receive(descriptor: c_int, buffer: &mut [u8], time: Duration) -> io::Result<Received> {
    let until = Instant::now() + time;
    let socket = duplicate(descriptor)?;
    let mut length = 0;
    while length < buffer.len() {
        match receive_some(&socket, &mut buffer[length..]) {
            Ok(0) => return Ok(Received { length, is_ended: true }),
            Ok(received) => length += received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() || !wait_readable(&socket, left)? {
                    break;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => break,
            Err(error) if length == 0 => return Err(error),
            // What came before counts: the next call finds the end of the connection, or the error again.
            Err(_) => break,
        }
    }
    Ok(Received { length, is_ended: false })
}

/// Not on this system: its callers copy what Python's own sockets deliver.
#[cfg(not(unix))]
pub(crate) fn receive(_descriptor: c_int, _buffer: &mut [u8], _time: Duration) -> io::Result<Received> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A descriptor of our own: should another thread close the caller's meanwhile, its number may become another file's.
#[cfg(unix)]
#[allow(unsafe_code)]
fn duplicate(descriptor: c_int) -> io::Result<OwnedFd> {
    // SAFETY: the call takes numbers alone; one that is no descriptor is an error.
    let own = unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 0) };
    if own < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(own) })
}

/// What is there already; an error of kind `WouldBlock` if nothing is, 0 bytes at the end.
#[cfg(unix)]
#[allow(unsafe_code)]
fn receive_some(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the pointer and the length are those of a slice that is borrowed exclusively.
    let received =
        unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_DONTWAIT) };
    usize::try_from(received).map_err(|_| io::Error::last_os_error())
}

/// Waits until there is something to receive, an end or an error included; false if the time is over or a signal came.
#[cfg(unix)]
#[allow(unsafe_code)]
fn wait_readable(socket: &OwnedFd, time: Duration) -> io::Result<bool> {
    let mut asked = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // Rounded up: what is less than a millisecond must not become a busy loop.
    let milliseconds = c_int::try_from(time.as_millis() + 1).unwrap_or(c_int::MAX);
    // SAFETY: one entry is given and one is borrowed exclusively.
    let ready = unsafe { libc::poll(&raw mut asked, 1, milliseconds) };
    if ready >= 0 {
        return Ok(ready > 0);
    }
    let error = io::Error::last_os_error();
    if error.kind() == io::ErrorKind::Interrupted { Ok(false) } else { Err(error) }
}
