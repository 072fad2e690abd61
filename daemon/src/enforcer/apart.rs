//! The daemon's side of its helper: starts it, asks it, and takes the maps that it offers.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::sys::{
    socket::{AddressFamily, Shutdown, SockFlag, SockType, setsockopt, shutdown, socketpair, sockopt},
    time::{TimeVal, TimeValLike as _},
};

use super::{
    AttachOptions, EnforcerError, InterfaceStatus,
    handed::Handed,
    holder::Offer,
    wire::{self, Answer, Request},
};

/// How long the helper may take: on a busy machine the verifier takes seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// A helper to talk to.
pub(super) struct Messenger {
    socket: OwnedFd,
    /// Whether an answer was missed: the next one would be taken for another.
    lost: bool,
}

impl Messenger {
    /// Starts the helper by `command`, which gets the socket as its standard input, and nothing of our environment.
    pub(super) fn start(
        mut command: Command,
        options: &AttachOptions,
    ) -> Result<(Self, Child, Offer, Vec<InterfaceStatus>), EnforcerError> {
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
            .map_err(|error| failed(&error.into()))?;
        let patience = TimeVal::seconds(i64::try_from(PATIENCE.as_secs()).unwrap_or(i64::MAX));
        setsockopt(&ours, sockopt::ReceiveTimeout, &patience).map_err(|error| failed(&error.into()))?;
        let child = command
            .env_clear()
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| failed(&error))?;
        // The command keeps the other end open as long as it lives.
        drop(command);
        let mut messenger = Self {
            socket: ours,
            lost: false,
        };
        match messenger.ask(&Request::Start(Box::new(options.clone()))) {
            Ok((answer, descriptors)) => {
                let (offer, interfaces) = offered(answer, descriptors)?;
                Ok((messenger, child, offer, interfaces))
            }
            Err(error) => {
                drop(messenger);
                let mut child = child;
                let _ = child.wait();
                Err(error)
            }
        }
    }

    pub(super) fn refresh(&mut self) -> Result<(Vec<InterfaceStatus>, Result<(), EnforcerError>), EnforcerError> {
        let Answer::Interfaces { attached, refused } = self.ask(&Request::Refresh)?.0 else {
            return Err(unexpected());
        };
        let outcome = refused.map_or(Ok(()), |said| Err(EnforcerError::Helper { said }));
        Ok((attached, outcome))
    }

    pub(super) fn prepare_larger(&mut self, hosts: u32) -> Result<Offer, EnforcerError> {
        let (answer, descriptors) = self.ask(&Request::Grow { hosts })?;
        offered(answer, descriptors).map(|(offer, _)| offer)
    }

    pub(super) fn swap_in(&mut self) -> Result<(), EnforcerError> {
        let Answer::Done = self.ask(&Request::Swap)?.0 else {
            return Err(unexpected());
        };
        Ok(())
    }

    pub(super) fn give_up(&mut self) {
        if let Err(error) = self.ask(&Request::GiveUp) {
            tracing::warn!(%error, "larger tables stay in memory for nothing");
        }
    }

    pub(super) fn memory(&mut self) -> Result<u64, EnforcerError> {
        let Answer::Memory(bytes) = self.ask(&Request::Memory)?.0 else {
            return Err(unexpected());
        };
        Ok(bytes)
    }

    /// Lets the helper end. Without pins the program leaves the interfaces with it.
    pub(super) fn release(&self) {
        // If it is gone already, that is what was wanted.
        let _ = shutdown(std::os::fd::AsRawFd::as_raw_fd(&self.socket), Shutdown::Both);
    }

    fn ask(&mut self, request: &Request) -> Result<(Answer, Vec<OwnedFd>), EnforcerError> {
        if self.lost {
            return Err(gone());
        }
        self.lost = true;
        wire::send(self.socket.as_fd(), request, &[]).map_err(|error| failed(&error))?;
        let received = wire::receive(self.socket.as_fd()).map_err(|error| failed(&error))?;
        let (answer, descriptors) = received.ok_or_else(gone)?;
        self.lost = false;
        if let Answer::Failed(said) = answer {
            return Err(EnforcerError::Helper { said });
        }
        Ok((answer, descriptors))
    }
}

fn offered(answer: Answer, descriptors: Vec<OwnedFd>) -> Result<(Offer, Vec<InterfaceStatus>), EnforcerError> {
    let Answer::Offer {
        shapes,
        capacities,
        interfaces,
    } = answer
    else {
        return Err(unexpected());
    };
    let maps = Handed::received(shapes, descriptors)?;
    Ok((Offer { maps, capacities }, interfaces))
}

fn failed(error: &io::Error) -> EnforcerError {
    EnforcerError::Helper {
        said: format!("the privileged helper cannot be used: {error}"),
    }
}

fn gone() -> EnforcerError {
    EnforcerError::Helper {
        said: "the privileged helper is gone; restart the daemon".to_owned(),
    }
}

fn unexpected() -> EnforcerError {
    EnforcerError::Helper {
        said: "the privileged helper answered what was not asked".to_owned(),
    }
}
