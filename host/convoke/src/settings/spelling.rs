//! Accepts other spellings of option names: `--start-port`, and Payara's `--startPort`,
//! `--startport`, `--clustermode`.

use std::ffi::OsString;

/// Payara's names that are not just other spellings of Convoke's.
const OTHER_NAMES: [(&str, &str); 5] = [
    ("hzconfigfile", "config"),
    ("hzpublicaddress", "public-address"),
    ("instancegroup", "group"),
    ("nohazelcast", "no-cluster"),
    ("clustermode", "cluster-mode"),
];

/// Advice for Payara's options about backups on other hosts.
const ON_HOSTS: &str = "backups are kept on other hosts whenever there are any: remove it";
const NO_APPLICATIONS: &str =
    "applications run in other processes and connect as clients over RESP or HTTP: remove it";
const LOG: &str = "the log goes to standard output, and CONVOKE_LOG=debug shows more: remove it";
const NO_TLS: &str = "HTTP is served without TLS: remove it, and use a reverse proxy";
const IN_A_FILE: &str = "settings are read from one file: name it with --config";

/// Options of Payara Micro without a counterpart, and what to use instead.
const WITHOUT_COUNTERPART: [(&str, &str); 24] = [
    (
        "hzinitialjoinwait",
        "a member waits until every mode has completed a lookup, and no longer: remove it",
    ),
    ("hostaware", ON_HOSTS),
    ("nohostaware", ON_HOSTS),
    (
        "enablehealthcheck",
        "health checks are always on, at /health/live and /health/ready of the HTTP port: remove it",
    ),
    ("deploy", NO_APPLICATIONS),
    ("deploymentdir", NO_APPLICATIONS),
    ("deploydir", NO_APPLICATIONS),
    ("deployfromgav", NO_APPLICATIONS),
    ("contextroot", NO_APPLICATIONS),
    ("globalcontextroot", NO_APPLICATIONS),
    ("postdeploycommandfile", NO_APPLICATIONS),
    ("logtofile", LOG),
    ("logproperties", LOG),
    ("accesslog", LOG),
    ("sslport", NO_TLS),
    ("autobindssl", NO_TLS),
    ("sslcert", NO_TLS),
    ("domainconfig", IN_A_FILE),
    ("prebootcommandfile", IN_A_FILE),
    ("postbootcommandfile", IN_A_FILE),
    ("rootdir", "only modes store files: see --state-directory"),
    ("secretsdir", "secrets are read from files: see --cluster-password-file"),
    ("shutdowngrace", "a member leaves as soon as its data is handed over: remove it"),
    ("disablephonehome", "no usage data is sent: remove it"),
];

/// The error for the first argument that is a Payara option without a counterpart, if any.
pub(crate) fn without_counterpart(arguments: &[OsString]) -> Option<String> {
    arguments.iter().find_map(|argument| {
        let option = argument.to_str()?.strip_prefix("--")?;
        let name = option.split('=').next()?;
        let (_, why) = WITHOUT_COUNTERPART.iter().find(|(theirs, _)| *theirs == plain(name))?;
        Some(format!("error: --{name} is a Payara Micro option without a counterpart; {why}"))
    })
}

/// Rewrites each option of `arguments` to its canonical name. Unknown options are unchanged, so
/// that the parser reports them as they were written.
pub(crate) fn canonical(
    arguments: impl IntoIterator<Item = OsString>,
    names: &[String],
) -> Vec<OsString> {
    arguments.into_iter().map(|argument| rewrite(argument, names)).collect()
}

fn rewrite(argument: OsString, names: &[String]) -> OsString {
    let Some(option) = argument.to_str().and_then(|text| text.strip_prefix("--")) else {
        return argument;
    };
    let (name, value) = match option.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (option, None),
    };
    let plain = plain(name);
    let other = OTHER_NAMES.iter().find(|(theirs, _)| *theirs == plain).map(|(_, ours)| *ours);
    let ours = other.or_else(|| names.iter().map(String::as_str).find(|n| self::plain(n) == plain));
    match (ours, value) {
        (None, _) => argument,
        (Some(name), None) => format!("--{name}").into(),
        (Some(name), Some(value)) => format!("--{name}={value}").into(),
    }
}

fn plain(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '-' | '_')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(argument: &str) -> String {
        let names = ["start-port", "mc-address", "auto-bind-http"].map(String::from);
        rewrite(argument.into(), &names).into_string().unwrap()
    }

    #[test]
    fn payara_spellings_are_accepted() {
        assert_eq!(rewritten("--startPort"), "--start-port");
        assert_eq!(rewritten("--STARTPORT"), "--start-port");
        assert_eq!(rewritten("--autobindhttp"), "--auto-bind-http");
        assert_eq!(rewritten("--mcAddress=224.0.0.9"), "--mc-address=224.0.0.9");
        assert_eq!(rewritten("--hzConfigFile"), "--config");
        assert_eq!(rewritten("--clustermode=tcpip:A-B"), "--cluster-mode=tcpip:A-B");
    }

    #[test]
    fn options_without_a_counterpart_say_what_to_use_instead() {
        let why = |argument: &str| without_counterpart(&["--lite".into(), argument.into()]);
        assert_eq!(
            why("--hzInitialJoinWait=3").unwrap(),
            "error: --hzInitialJoinWait is a Payara Micro option without a counterpart; a member \
             waits until every mode has completed a lookup, and no longer: remove it"
        );
        assert!(why("--nohostaware").is_some());
        assert!(why("--POSTBOOTCOMMANDFILE").unwrap().ends_with("name it with --config"));
        let names: Vec<String> = super::super::cli::names();
        for (theirs, _) in WITHOUT_COUNTERPART {
            assert!(!names.iter().any(|ours| plain(ours) == theirs), "{theirs} is an option");
        }
        assert_eq!(why("--hosts"), None);
        assert_eq!(why("hostaware"), None);
    }

    #[test]
    fn values_and_unknown_options_are_unchanged() {
        assert_eq!(rewritten("startPort"), "startPort");
        assert_eq!(rewritten("--nonsense"), "--nonsense");
        assert_eq!(rewritten("--"), "--");
    }
}
