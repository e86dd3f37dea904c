//! What gateways ask of each other.

use tce_runtime::{
    codegen::{DecodeError, Marshal, Reader, Unmarshal, Writer},
    wire::Limits,
};

use crate::idl::gateway::{Push, Texts};

/// A command for the sessions of one gateway.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Command {
    /// Close the connections of a user, with a device id only those of the device.
    Disconnect {
        user: String,
        device: String,
        reason: String,
    },
    /// Close the connections of all users.
    DisconnectAll { reason: String },
    /// Send a oneway CALL to users.
    Push { users: Texts, message: Push },
}

const DISCONNECT: u8 = 1;
const DISCONNECT_ALL: u8 = 2;
const PUSH: u8 = 3;

impl Command {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let out = &mut Writer::new(&mut bytes);
        match self {
            Self::Disconnect {
                user,
                device,
                reason,
            } => (DISCONNECT, user, device, reason).marshal(out),
            Self::DisconnectAll { reason } => (DISCONNECT_ALL, reason).marshal(out),
            Self::Push { users, message } => (PUSH, users, message).marshal(out),
        }
        bytes
    }

    /// Returns `None` for a command of a later version.
    pub(super) fn decode(bytes: &[u8]) -> Result<Option<Self>, DecodeError> {
        let limits = Limits::default();
        let input = &mut Reader::with_limits(bytes, &limits);
        Ok(Some(match u8::unmarshal(input)? {
            DISCONNECT => Self::Disconnect {
                user: String::unmarshal(input)?,
                device: String::unmarshal(input)?,
                reason: String::unmarshal(input)?,
            },
            DISCONNECT_ALL => Self::DisconnectAll {
                reason: String::unmarshal(input)?,
            },
            PUSH => Self::Push {
                users: Texts::unmarshal(input)?,
                message: Push::unmarshal(input)?,
            },
            _ => return Ok(None),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_as_they_were_sent() {
        let commands = [
            Command::Disconnect {
                user: "scott".to_owned(),
                device: "phone".to_owned(),
                reason: "maintenance".to_owned(),
            },
            Command::DisconnectAll {
                reason: String::new(),
            },
            Command::Push {
                users: vec!["scott".to_owned(), "anna".to_owned()],
                message: Push {
                    ifidx: 3,
                    parameters: vec![0, 255],
                    ..Push::default()
                },
            },
        ];
        for command in commands {
            let bytes = command.encode();
            assert_eq!(Command::decode(&bytes).unwrap().as_ref(), Some(&command));
            for length in 0..bytes.len() {
                Command::decode(&bytes[..length]).unwrap_err();
            }
        }
        assert_eq!(Command::decode(&[9]).unwrap(), None);
    }
}
