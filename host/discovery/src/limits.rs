//! Every bound of this crate, with its unit in its name and the reason beside it.

/// Largest component file, in bytes. Python and JavaScript modes carry their
/// engine and take 12 to 18 MiB.
pub const COMPONENT_BYTES_MAX: u64 = 64 << 20;

/// Compiling that takes longer is told to the operator, in milliseconds.
pub const COMPILE_UNTOLD_MS_MAX: u64 = 1_000;

/// Linear memory of one mode, all its memories together, in bytes.
pub const MEMORY_BYTES_MAX: usize = 64 << 20;

/// The same for a mode with `wasi = "inert"`, in bytes: it brings its language's runtime
/// along, and that of JavaScript collects its garbage for the first time near 70 MiB.
pub const RUNTIME_MEMORY_BYTES_MAX: usize = 128 << 20;

/// Denials of one mode that its operator is told of; one more line says that there are
/// further ones.
pub const DENIALS_TOLD_MAX: u32 = 64;

/// Patterns beyond its grants that the line has which would allow what a mode was denied.
pub const GRANTS_PROPOSED_MAX: usize = 32;

/// Calls, and denials, that are noted while a mode is only tried.
pub const REHEARSED_MAX: usize = 64;

/// Linear memories of one mode; each reserves address space.
pub const MEMORIES_MAX: usize = 16;

/// Elements of a mode's tables, all together.
pub const TABLE_ELEMENTS_MAX: usize = 1_000_000;

/// Data that one call may hand to the host, in bytes as wasmtime counts them.
/// A full snapshot of [`CANDIDATES_MAX`] takes about a third of it.
pub const TRANSFER_BYTES_MAX: usize = 32 << 20;

/// Groups that one mode holds joined at a time.
pub const GROUPS_MAX: usize = 64;

/// Host resources of every kind that one mode holds at a time: groups, and the
/// requests, bodies and streams of HTTP, some ten for each request.
pub const RESOURCES_MAX: usize = 512;

/// Handles that one mode holds at a time, its own ones included.
pub const HANDLES_MAX: usize = 4_096;

/// Stack of a mode's own functions, in bytes.
pub const WASM_STACK_BYTES: usize = 512 << 10;

/// Stack on which a call runs: [`WASM_STACK_BYTES`] and what the host needs
/// below it, in bytes. Address space; only touched pages take memory.
pub const CALL_STACK_BYTES: usize = 1 << 20;

/// How often a running mode is interrupted to let others run, in milliseconds.
pub const TICK_MS: u64 = 50;

/// Computing in one call, in milliseconds: it ends at the first tick after it, and so
/// within a second. Waiting in the host is free.
pub const CALL_COMPUTE_MS_MAX: u64 = 950;

/// A whole `discover` or `announce`, waits included, in milliseconds.
pub const CALL_MS_MAX: u64 = 10_000;

/// A whole instantiation and `configure`, in milliseconds; neither waits for the network.
pub const CONFIGURE_MS_MAX: u64 = 2_000;

/// What a leaving member waits for the running call, and then again for
/// `withdraw`, in milliseconds.
pub const WITHDRAW_MS_MAX: u64 = 500;

/// Candidates in one snapshot; the rest is dropped and counted.
pub const CANDIDATES_MAX: usize = 65_536;

/// Dropped candidates kept with their reason in one snapshot; the rest is counted.
pub const DROPPED_KEPT_MAX: usize = 1_024;

/// Attributes of one candidate; the rest is dropped.
pub const ATTRIBUTES_MAX: usize = 16;

/// One attribute's key, and again its value, in bytes; longer ones are dropped.
pub const ATTRIBUTE_BYTES_MAX: usize = 256;

/// One line of a mode's own words in the log or in a problem, in bytes.
pub const LINE_BYTES_MAX: usize = 2_048;

/// Log lines of one call; the rest is counted.
pub const LOG_LINES_PER_CALL_MAX: u32 = 64;

/// Fields of one log line; the rest is dropped.
pub const LOG_FIELDS_MAX: usize = 32;

/// Shortest time between two looks, in milliseconds.
pub const LOOK_AGAIN_MS_MIN: u64 = 20;

/// Time between two looks when the mode says nothing, in milliseconds.
pub const LOOK_AGAIN_MS_DEFAULT: u64 = 5_000;

/// Longest time between two looks, or two announcements, in milliseconds.
pub const LOOK_AGAIN_MS_MAX: u64 = 300_000;

/// Part by which a wait is made longer or shorter at random, so that members
/// started together do not go on in step.
pub const JITTER: f64 = 0.1;

/// First wait after a failure, in milliseconds; doubled with each further one.
pub const BACK_OFF_MS_MIN: u64 = 500;

/// Longest wait after a failure, in milliseconds.
pub const BACK_OFF_MS_MAX: u64 = 60_000;

/// First and longest wait after a problem that the mode itself reported, in
/// milliseconds: it works, and a member may be waiting for its first look.
pub const PROBLEM_BACK_OFF_MS_MIN: u64 = 250;
/// See [`PROBLEM_BACK_OFF_MS_MIN`].
pub const PROBLEM_BACK_OFF_MS_MAX: u64 = 5_000;

/// A mode that ran this long after a failure is healthy again, in milliseconds:
/// back-off and the count of logged failures start anew.
pub const HEALTHY_MS: u64 = 120_000;

/// Looks after which the instance is replaced as a matter of routine, so that a
/// slow leak in a mode never adds up.
pub const LOOKS_PER_INSTANCE: u64 = 100_000;

/// Payload of one multicast datagram before sealing, in bytes. Sealed, it still
/// fits one Ethernet frame.
pub const PAYLOAD_BYTES_MAX: usize = 1_024;

/// Buffer for one received datagram, in bytes. A longer one arrives cut and is
/// refused by the cipher.
pub const DATAGRAM_BYTES_MAX: usize = 2_048;

/// Datagrams waiting for a mode in one group; the oldest is dropped for a new one.
pub const DATAGRAM_QUEUE_MAX: usize = 256;

/// Datagrams given to a mode by one `receive`.
pub const RECEIVE_MAX: u32 = 256;

/// Longest wait of one `receive`, in milliseconds.
pub const RECEIVE_WAIT_MS_MAX: u32 = 5_000;

/// Datagrams a mode may send in one group each second, on average.
pub const SENDS_PER_SECOND: u32 = 200;

/// Datagrams a mode may send in one group at once.
pub const SENDS_BURST: u32 = 400;

/// Wait after a socket failed to receive, in milliseconds.
pub const RECEIVE_RETRY_MS: u64 = 1_000;

/// Failures logged before a mode is healthy again: the last of them says that no more are.
pub const FAILURES_LOGGED_MAX: usize = 16;

/// Frames of a trap's backtrace that are logged.
pub const BACKTRACE_FRAMES_MAX: usize = 8;

/// Targets of one `probe`.
pub const PROBE_TARGETS_MAX: usize = 256;

/// Addresses of one name that are probed.
pub const PROBE_ADDRESSES_MAX: usize = 16;

/// Targets that one `probe` asks at the same time.
pub const PROBES_AT_ONCE: usize = 128;

/// Targets a mode may probe each second, on average.
pub const PROBES_PER_SECOND: u32 = 200;

/// Targets a mode may probe at once.
pub const PROBES_BURST: u32 = 512;

/// What one target gets at least to answer, in milliseconds.
pub const PROBE_MS_MIN: u64 = 50;

/// What one target gets at most to answer, in milliseconds.
pub const PROBE_MS_MAX: u64 = 5_000;

/// Names of one look-up.
pub const LOOKUP_NAMES_MAX: usize = 256;

/// Names, and hosts of one service, that are looked up at the same time.
pub const LOOKUPS_AT_ONCE: usize = 64;

/// Questions of one mode that wait for a DNS server at the same time. dnsmasq refuses
/// more than 150 (`dns-forward-max`).
pub const DNS_QUESTIONS_AT_ONCE: usize = 128;

/// All names of one look-up, in milliseconds: all servers, repetitions and completions.
pub const LOOKUP_MS_MAX: u64 = 8_500;

/// What is left of a mode's call when its look-up ends, in milliseconds: it answers with
/// what was found.
pub const LOOKUP_SPARE_MS: u64 = 1_000;

/// DNS servers that are asked, of one mode's grant or of the system.
pub const DNS_SERVERS_MAX: usize = 8;

/// Domains of the search list.
pub const SEARCH_DOMAINS_MAX: usize = 32;

/// Name of a network interface, in bytes (`IFNAMSIZ`, less its final zero).
pub const INTERFACE_NAME_BYTES_MAX: usize = 15;

/// What `options` of `resolv.conf` may say at most, as glibc has it (`RES_MAXRETRANS`,
/// `RES_MAXRETRY`, `RES_MAXNDOTS`): for one server in seconds, times, dots.
pub const RESOLV_TIMEOUT_S_MAX: u64 = 30;
/// See [`RESOLV_TIMEOUT_S_MAX`].
pub const RESOLV_ATTEMPTS_MAX: u32 = 5;
/// See [`RESOLV_TIMEOUT_S_MAX`].
pub const RESOLV_NDOTS_MAX: usize = 15;

/// What a server gets to answer in one turn when others are to be asked after it, in
/// milliseconds: the time of a look-up is divided among them, and not thinner than this.
pub const DNS_TURN_MS_MIN: u64 = 2_500;

/// What a server gets that was silent a moment ago, when another one said no, in
/// milliseconds.
pub const DNS_RESTING_TURN_MS: u64 = 1_000;

/// How long a server that was silent is asked after the others, in milliseconds.
pub const DNS_REST_MS: u64 = 30_000;

/// Until a datagram that was not answered is sent again, without EDNS, in milliseconds.
pub const DNS_RESEND_MS: u64 = 1_000;

/// Until the next name of the search list is asked for while the one before it is
/// unanswered, in milliseconds.
pub const SEARCH_HEAD_START_MS: u64 = 500;

/// What the one kind of addresses waits for the other kind, in milliseconds.
pub const OTHER_KIND_MS_MAX: u64 = 2_000;

/// Aliases that lead from one name to the next (CNAME).
pub const ALIASES_MAX: usize = 16;

/// A datagram that a DNS server sends, in bytes. It is asked for at most
/// [`DNS_PAYLOAD_BYTES`].
pub const DNS_DATAGRAM_BYTES_MAX: usize = 4_096;

/// What a datagram may hold without being cut into fragments, in bytes (DNS Flag Day
/// 2020).
pub const DNS_PAYLOAD_BYTES: u16 = 1_232;

/// The system's files that say whom to ask, in bytes.
pub const RESOLV_CONF_BYTES_MAX: u64 = 1 << 20;
/// See [`RESOLV_CONF_BYTES_MAX`]: `/etc/hosts` may hold a list of blocked names.
pub const HOSTS_BYTES_MAX: u64 = 16 << 20;

/// Names whose last fate in DNS is remembered for the log.
pub const FATES_MAX: usize = 1_024;

/// Addresses of one name.
pub const LOOKUP_ADDRESSES_MAX: usize = 4_096;

/// Places of one service.
pub const SERVICE_PLACES_MAX: usize = 1_024;

/// Different queries of one mode to the Kubernetes API; each is a task.
pub const QUERIES_MAX: usize = 8;

/// Pods, or endpoints of a service, of one query.
pub const PODS_MAX: usize = 16_384;

/// What a mode waits for the first answer to a query, in milliseconds.
pub const FIRST_ANSWER_MS_MAX: u64 = 6_000;

/// Until a connection to the API server is open, in milliseconds.
pub const API_CONNECT_MS_MAX: u64 = 2_000;

/// Until one page of a list is there, or a watch is open, in milliseconds.
pub const API_ANSWER_MS_MAX: u64 = 5_000;

/// One page of a list, in bytes: 500 large pods take about 10 MiB.
pub const API_ANSWER_BYTES_MAX: usize = 32 << 20;

/// One change that a watch reports, in bytes.
pub const WATCH_LINE_BYTES_MAX: usize = 4 << 20;

/// Silence after which a watch is opened anew, in milliseconds. Servers send
/// bookmarks about once a minute.
pub const WATCH_IDLE_MS_MAX: u64 = 90_000;

/// First and longest wait after the API server failed, in milliseconds.
pub const API_BACK_OFF_MS_MIN: u64 = 250;
/// See [`API_BACK_OFF_MS_MIN`].
pub const API_BACK_OFF_MS_MAX: u64 = 5_000;

/// Between two lists of an account that may not watch, in milliseconds.
pub const API_LIST_AGAIN_MS: u64 = 10_000;

/// How long a refusal (403) of what was allowed before is not believed, in milliseconds: after
/// a restart an API server has its accounts' Roles within about one second.
pub const REFUSAL_DOUBTED_MS: u64 = 5_000;

/// A name in a mode's store, in bytes.
pub const STORE_NAME_BYTES_MAX: usize = 64;

/// Names in a mode's store.
pub const STORE_NAMES_MAX: usize = 256;

/// Entries of a mode's folder that are looked at: an operator may have put more into
/// it than a mode could.
pub const STORE_ENTRIES_READ_MAX: usize = 4_096;

/// Members on one machine with a folder each for one mode.
pub const STORE_FOLDERS_MAX: usize = 64;

/// Requests over HTTP that one mode has under way at a time.
pub const REQUESTS_AT_ONCE: usize = 8;

/// Requests that a mode may make each second, on average.
pub const REQUESTS_PER_SECOND: u32 = 20;

/// Requests that a mode may make at once.
pub const REQUESTS_BURST: u32 = 60;

/// Until a connection for a request is open, in milliseconds.
pub const REQUEST_CONNECT_MS_MAX: u64 = 3_000;

/// Until an answer begins, in milliseconds: as long as a call may take.
pub const REQUEST_ANSWER_MS_MAX: u64 = CALL_MS_MAX;

/// One answer's body, in bytes.
pub const ANSWER_BODY_BYTES_MAX: usize = 16 << 20;

/// An answer's headers, or a request's, in bytes as they are held in memory.
pub const HTTP_FIELDS_BYTES_MAX: usize = 64 << 10;

/// Connections that are kept open for one mode and place, and for how long, in
/// milliseconds.
pub const REQUEST_IDLE_CONNECTIONS_MAX: usize = 2;
/// See [`REQUEST_IDLE_CONNECTIONS_MAX`].
pub const REQUEST_IDLE_MS_MAX: u64 = 30_000;

/// Random bytes that a runtime gets by one call.
pub const RANDOM_BYTES_MAX: u64 = 64 << 10;

/// One line that a mode writes to its standard output or error, in bytes; a longer
/// one becomes several.
pub const PRINTED_LINE_BYTES_MAX: usize = 1_024;

/// How often the file of a mode is looked at, in milliseconds; a change counts when it
/// looks the same twice.
pub const FILE_WATCH_MS: u64 = 500;

/// Looks of a new version that may fail before it is given up.
pub const TRIAL_LOOKS_MAX: u32 = 8;
