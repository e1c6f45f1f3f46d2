//! Who may do what: roles, rights, and the part of the archive that somebody may see.
//!
//! Never here: tokens or how one is recognised.

use super::event::words;
use super::id::PbxName;

/// What a person is in the archive. Each has its own rights; none is simply "more" than another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Sees metadata.
    Viewer,
    /// Hears recordings as well.
    Listener,
    /// Downloads and exports as well.
    Compliance,
    /// Agrees to what takes two persons; apart from those who configure.
    Approver,
    /// Configures: tokens, jobs.
    Admin,
}

words!(Role {
    Viewer => "viewer",
    Listener => "listener",
    Compliance => "compliance",
    Approver => "approver",
    Admin => "admin",
});

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    See,
    Hear,
    Download,
    Export,
    /// See what was done by whom.
    Audit,
    Configure,
}

words!(Right {
    See => "see",
    Hear => "hear",
    Download => "download",
    Export => "export",
    Audit => "audit",
    Configure => "configure",
});

impl Role {
    pub const ALL: [Role; 5] = [
        Role::Viewer,
        Role::Listener,
        Role::Compliance,
        Role::Approver,
        Role::Admin,
    ];

    pub fn may(self, right: Right) -> bool {
        use Right::{Audit, Configure, Download, Export, Hear, See};
        match self {
            Role::Viewer => matches!(right, See),
            Role::Listener => matches!(right, See | Hear),
            Role::Compliance => matches!(right, See | Hear | Download | Export | Audit),
            Role::Approver => matches!(right, See | Audit),
            Role::Admin => matches!(right, See | Audit | Configure),
        }
    }
}

/// The part of the archive that somebody may see: everything where nothing is named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    pub pbx: Option<PbxName>,
    pub extensions: Vec<String>,
}

impl Scope {
    pub fn is_all(&self) -> bool {
        self.pbx.is_none() && self.extensions.is_empty()
    }

    pub fn has_pbx(&self, pbx: &PbxName) -> bool {
        self.pbx.as_ref().is_none_or(|mine| mine == pbx)
    }

    /// What is of no known extension is nobody's in particular, so of no one's scope.
    pub fn has_extension(&self, extension: Option<&str>) -> bool {
        self.extensions.is_empty()
            || extension.is_some_and(|extension| self.extensions.iter().any(|e| e == extension))
    }
}

/// Whether a text is one extension: several in a row would be nobody's.
pub fn is_extension(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_graphic() && byte != b',';
    (1..=32).contains(&text.len()) && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_who_configures_hears_and_nobody_who_hears_configures() {
        for role in Role::ALL {
            assert!(role.may(Right::See), "{role}");
            assert!(
                !(role.may(Right::Hear) && role.may(Right::Configure)),
                "{role}"
            );
            assert_eq!(
                role.may(Right::Download),
                role == Role::Compliance,
                "{role}"
            );
        }
    }

    #[test]
    fn a_scope_of_extensions_hides_what_has_none() {
        let scope = Scope {
            pbx: Some("hq".parse().unwrap()),
            extensions: vec!["117".to_owned()],
        };
        assert!(scope.has_pbx(&"hq".parse().unwrap()) && !scope.has_pbx(&"b".parse().unwrap()));
        assert!(scope.has_extension(Some("117")) && !scope.has_extension(Some("118")));
        assert!(!scope.has_extension(None) && Scope::default().has_extension(None));
    }
}
