//! Sockets to listen on.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpSocket, TcpStream},
};

use crate::{Listen, StartError};

/// Connections that may wait to be accepted; systems allow fewer. With the usual 128, a burst of clients
/// finds no place, and each of them tries again after a second.
const BACKLOG: u32 = 4096;

/// A socket that listens. A file of a socket goes with it.
pub(super) enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(unix::Listener),
}

impl Listener {
    pub(super) fn bind(listen: &Listen) -> Result<(Self, Listen), StartError> {
        let failed = |source| StartError::Listen { address: listen.to_string(), source };
        match listen {
            Listen::Tcp(address) => {
                let listener = tcp(*address).map_err(failed)?;
                let address = listener.local_addr().map_err(failed)?;
                Ok((Self::Tcp(listener), Listen::Tcp(address)))
            }
            #[cfg(unix)]
            Listen::Unix(path) => {
                let listener = unix::Listener::bind(path).map_err(failed)?;
                Ok((Self::Unix(listener), listen.clone()))
            }
            #[cfg(not(unix))]
            Listen::Unix(_) => Err(failed(io::ErrorKind::Unsupported.into())),
        }
    }

    pub(super) async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Answers are whole messages; a failure only makes them later.
                let _ = stream.set_nodelay(true);
                Ok(Stream::Tcp(stream))
            }
            #[cfg(unix)]
            Self::Unix(listener) => Ok(Stream::Unix(listener.accept().await?)),
        }
    }
}

/// Listens on a port.
fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // As the standard library does: the port of a server that was killed is free again at once. On Windows
    // it would be that of another server.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// A connection of either kind.
pub(super) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
}

/// Calls a method of the connection that there is.
macro_rules! each {
    ($stream:expr, $method:ident($($argument:expr),*)) => {
        match $stream.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).$method($($argument),*),
            #[cfg(unix)]
            Self::Unix(stream) => Pin::new(stream).$method($($argument),*),
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, poll_read(context, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self, poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, poll_shutdown(context))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            #[cfg(unix)]
            Self::Unix(stream) => stream.is_write_vectored(),
        }
    }
}

#[cfg(unix)]
mod unix {
    use std::{
        fs, io,
        os::unix::{fs::FileTypeExt as _, net::UnixStream as Probe},
        path::{Path, PathBuf},
    };

    use tokio::net::{UnixListener, UnixSocket, UnixStream};

    /// A socket in the file system, which is removed at the end.
    pub(in crate::serve) struct Listener {
        listener: UnixListener,
        path: PathBuf,
    }

    impl Listener {
        /// Takes the place of a socket that nobody listens on, as a server leaves that was killed.
        pub(super) fn bind(path: &Path) -> io::Result<Self> {
            if let Ok(data) = fs::symlink_metadata(path) {
                if !data.file_type().is_socket() {
                    return Err(io::Error::new(
                        io::ErrorKind::AlreadyExists,
                        "there is a file of another kind",
                    ));
                }
                if Probe::connect(path).is_ok() {
                    return Err(io::ErrorKind::AddrInUse.into());
                }
                fs::remove_file(path)?;
            }
            let socket = UnixSocket::new_stream()?;
            socket.bind(path)?;
            Ok(Self { listener: socket.listen(super::BACKLOG)?, path: path.to_owned() })
        }

        pub(super) async fn accept(&self) -> io::Result<UnixStream> {
            Ok(self.listener.accept().await?.0)
        }
    }

    impl Drop for Listener {
        fn drop(&mut self) {
            // Somebody else may have removed it.
            let _ = fs::remove_file(&self.path);
        }
    }
}
