//! Authentication of clients of both protocols by password.

use std::fmt;

use subtle::ConstantTimeEq;

/// Permissions of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// May only authenticate.
    Unauthenticated,
    /// May read: user `readonly`.
    ReadOnly,
    /// May do everything: user `default`.
    Full,
}

impl Trust {
    /// Whether the client may change data.
    pub(crate) fn may_write(self) -> bool {
        self == Self::Full
    }

    /// The user name.
    pub(crate) fn user(self) -> &'static str {
        match self {
            Self::Unauthenticated => "(none)",
            Self::ReadOnly => "readonly",
            Self::Full => "default",
        }
    }
}

/// The passwords of clients. Never shown or logged.
#[derive(Clone, Default)]
pub struct Passwords {
    full: Vec<u8>,
    read_only: Vec<u8>,
}

impl Passwords {
    /// `full` is the password of user `default`, empty for none. `read_only` is the password of
    /// user `readonly`, empty if there is no such user.
    #[must_use]
    pub fn new(full: &[u8], read_only: &[u8]) -> Self {
        Self { full: full.to_vec(), read_only: read_only.to_vec() }
    }

    /// Whether clients need no password.
    #[must_use]
    pub fn are_empty(&self) -> bool {
        self.full.is_empty()
    }

    /// Permissions of a client that has not authenticated.
    #[must_use]
    pub fn trust_without_password(&self) -> Trust {
        if self.are_empty() { Trust::Full } else { Trust::Unauthenticated }
    }

    /// Checks a password, for a user name if one is given. Returns the permissions, or `None` if
    /// the user name or password is wrong. Compares in constant time.
    #[must_use]
    pub fn trust_of(&self, user: Option<&[u8]>, password: &[u8]) -> Option<Trust> {
        let knows = |known: &[u8]| !known.is_empty() && bool::from(known.ct_eq(password));
        let is = |trust: Trust| user.is_none_or(|user| user == trust.user().as_bytes());
        let full = knows(&self.full);
        let read_only = knows(&self.read_only);
        let open = self.are_empty() && user.is_some();
        if (full || open) && is(Trust::Full) {
            Some(Trust::Full)
        } else if read_only && is(Trust::ReadOnly) {
            Some(Trust::ReadOnly)
        } else {
            None
        }
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = |password: &[u8]| if password.is_empty() { "none" } else { "set" };
        write!(formatter, "Passwords({}, {})", set(&self.full), set(&self.read_only))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_password_grants_the_permissions_of_its_user() {
        let passwords = Passwords::new(b"all", b"look");
        assert_eq!(passwords.trust_without_password(), Trust::Unauthenticated);
        assert_eq!(passwords.trust_of(None, b"all"), Some(Trust::Full));
        assert_eq!(passwords.trust_of(Some(b"default"), b"all"), Some(Trust::Full));
        assert_eq!(passwords.trust_of(None, b"look"), Some(Trust::ReadOnly));
        assert_eq!(passwords.trust_of(Some(b"readonly"), b"look"), Some(Trust::ReadOnly));
        for (user, password) in
            [(None, ""), (Some("default"), "look"), (Some("root"), "all"), (None, "al")]
        {
            let user = user.map(str::as_bytes);
            assert_eq!(passwords.trust_of(user, password.as_bytes()), None);
        }
    }

    #[test]
    fn without_a_password_clients_have_full_access() {
        let passwords = Passwords::default();
        assert_eq!(passwords.trust_without_password(), Trust::Full);
        assert_eq!(passwords.trust_of(Some(b"default"), b"any"), Some(Trust::Full));
        assert_eq!(passwords.trust_of(Some(b"root"), b"any"), None);
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(format!("{:?}", Passwords::new(b"secret", b"")), "Passwords(set, none)");
    }
}
