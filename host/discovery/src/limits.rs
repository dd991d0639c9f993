//! Every limit of this crate, with its unit in its name or description, and its reason.

/// Size of a component file, in bytes. Python and JavaScript modes contain their engine and
/// take 12 to 18 MiB.
pub const COMPONENT_BYTES_MAX: u64 = 64 << 20;

/// Compile time above which a log line is written, in milliseconds.
pub const COMPILE_SILENT_MS_MAX: u64 = 1_000;

/// Linear memory of one mode, all its memories together, in bytes.
pub const MEMORY_BYTES_MAX: usize = 64 << 20;

/// Linear memory of a mode with `wasi = "inert"`, in bytes: it contains a language runtime, and
/// that of JavaScript first collects garbage near 70 MiB.
pub const RUNTIME_MEMORY_BYTES_MAX: usize = 128 << 20;

/// Denials of one mode that are logged. The last line says that further denials are not logged.
pub const DENIALS_LOGGED_MAX: u32 = 64;

/// Patterns that are added to a mode's grants in the proposed grant of a denial.
pub const GRANTS_PROPOSED_MAX: usize = 32;

/// Calls, and denials, that a rehearsal records.
pub const REHEARSED_MAX: usize = 64;

/// Linear memories of one mode; each reserves address space.
pub const MEMORIES_MAX: usize = 16;

/// Elements of a mode's tables, all together.
pub const TABLE_ELEMENTS_MAX: usize = 1_000_000;

/// Data that one call may return to the host, in bytes as wasmtime counts them. A full snapshot
/// of [`CANDIDATES_MAX`] takes about a third of it.
pub const TRANSFER_BYTES_MAX: usize = 32 << 20;

/// Multicast groups that one mode has joined at a time.
pub const GROUPS_MAX: usize = 64;

/// Host resources of all kinds that one mode holds at a time: groups, and the requests, bodies
/// and streams of HTTP, about ten for each request.
pub const RESOURCES_MAX: usize = 512;

/// Handles that one mode holds at a time, including handles to its own resources.
pub const HANDLES_MAX: usize = 4_096;

/// Stack of a mode's own functions, in bytes.
pub const WASM_STACK_BYTES: usize = 512 << 10;

/// Stack on which a call runs, in bytes: [`WASM_STACK_BYTES`], and what the host needs below
/// it. This is address space; only used pages take memory.
pub const CALL_STACK_BYTES: usize = 1 << 20;

/// Interval at which a running mode is interrupted to let others run, in milliseconds.
pub const TICK_MS: u64 = 50;

/// Computing time of one call, in milliseconds. It ends at the first tick after that, and so
/// within a second. Waits in the host do not count.
pub const CALL_COMPUTE_MS_MAX: u64 = 950;

/// Duration of a call of `discover` or `announce`, including waits, in milliseconds.
pub const CALL_MS_MAX: u64 = 10_000;

/// Duration of instantiation and `configure`, in milliseconds; neither waits for the network.
pub const CONFIGURE_MS_MAX: u64 = 2_000;

/// Time that a leaving member waits for the running call, and after that for `withdraw`, in
/// milliseconds.
pub const WITHDRAW_MS_MAX: u64 = 500;

/// Candidates in one snapshot; further ones are dropped and counted.
pub const CANDIDATES_MAX: usize = 65_536;

/// Dropped candidates in one snapshot that are kept with a reason; further ones are counted.
pub const DROPPED_KEPT_MAX: usize = 1_024;

/// Attributes of one candidate; further ones are dropped.
pub const ATTRIBUTES_MAX: usize = 16;

/// Length of an attribute's key, and of its value, in bytes; longer attributes are dropped.
pub const ATTRIBUTE_BYTES_MAX: usize = 256;

/// Length of a text of a mode in the log or in a problem, in bytes.
pub const LINE_BYTES_MAX: usize = 2_048;

/// Log lines of one call; further ones are counted.
pub const LOG_LINES_PER_CALL_MAX: u32 = 64;

/// Fields of one log line; further ones are dropped.
pub const LOG_FIELDS_MAX: usize = 32;

/// Shortest interval between two calls of `discover`, in milliseconds.
pub const LOOK_AGAIN_MS_MIN: u64 = 20;

/// Interval between two calls of `discover` if the mode does not specify one, in milliseconds.
pub const LOOK_AGAIN_MS_DEFAULT: u64 = 5_000;

/// Longest interval between two calls of `discover` or `announce`, in milliseconds.
pub const LOOK_AGAIN_MS_MAX: u64 = 300_000;

/// Fraction by which a wait is lengthened or shortened at random, so that members that started
/// together do not stay synchronised.
pub const JITTER: f64 = 0.1;

/// First wait after a failure, in milliseconds; doubled with each consecutive failure.
pub const BACK_OFF_MS_MIN: u64 = 500;

/// Longest wait after a failure, in milliseconds.
pub const BACK_OFF_MS_MAX: u64 = 60_000;

/// First wait after a problem that the mode reported, in milliseconds. Shorter than after a
/// crash: the mode works, and a member may be waiting for its first result.
pub const PROBLEM_BACK_OFF_MS_MIN: u64 = 250;
/// Longest wait after a problem that the mode reported, in milliseconds.
pub const PROBLEM_BACK_OFF_MS_MAX: u64 = 5_000;

/// Time without failures after which a mode is healthy again, in milliseconds: its back-off and
/// the count of logged failures are reset.
pub const HEALTHY_MS: u64 = 120_000;

/// Calls of `discover` after which the instance is replaced, so that a slow leak in a mode does
/// not accumulate.
pub const LOOKS_PER_INSTANCE: u64 = 100_000;

/// Payload of one multicast datagram before encryption, in bytes. Encrypted, it still fits one
/// Ethernet frame.
pub const PAYLOAD_BYTES_MAX: usize = 1_024;

/// Buffer for one received datagram, in bytes. A longer datagram is truncated, and rejected by
/// the cipher.
pub const DATAGRAM_BYTES_MAX: usize = 2_048;

/// Datagrams queued for a mode in one group; when it is full, the oldest is dropped for a new
/// one.
pub const DATAGRAM_QUEUE_MAX: usize = 256;

/// Datagrams returned to a mode by one `receive`.
pub const RECEIVE_MAX: u32 = 256;

/// Longest wait of one `receive`, in milliseconds.
pub const RECEIVE_WAIT_MS_MAX: u32 = 5_000;

/// Datagrams that a mode may send in one group per second, on average.
pub const SENDS_PER_SECOND: u32 = 200;

/// Datagrams that a mode may send in one group in a burst.
pub const SENDS_BURST: u32 = 400;

/// Wait after a socket failed to receive, in milliseconds.
pub const RECEIVE_RETRY_MS: u64 = 1_000;

/// Failures that are logged until a mode is healthy again; the last line says that no more are
/// logged.
pub const FAILURES_LOGGED_MAX: usize = 16;

/// Stack frames of a trap that are logged.
pub const BACKTRACE_FRAMES_MAX: usize = 8;

/// Targets of one `probe`.
pub const PROBE_TARGETS_MAX: usize = 256;

/// Addresses of one name that are probed.
pub const PROBE_ADDRESSES_MAX: usize = 16;

/// Targets that one `probe` call probes concurrently.
pub const PROBES_AT_ONCE: usize = 128;

/// Targets that a mode may probe per second, on average.
pub const PROBES_PER_SECOND: u32 = 200;

/// Targets that a mode may probe in a burst.
pub const PROBES_BURST: u32 = 512;

/// Shortest timeout of one probe, in milliseconds.
pub const PROBE_MS_MIN: u64 = 50;

/// Longest timeout of one probe, in milliseconds.
pub const PROBE_MS_MAX: u64 = 5_000;

/// Names of one lookup call.
pub const LOOKUP_NAMES_MAX: usize = 256;

/// Names, and hosts of one service, that are looked up concurrently.
pub const LOOKUPS_AT_ONCE: usize = 64;

/// DNS queries of one mode that are in progress concurrently. dnsmasq rejects more than 150
/// (`dns-forward-max`).
pub const DNS_QUESTIONS_AT_ONCE: usize = 128;

/// Duration of one lookup call, in milliseconds: all names, servers, attempts and search
/// domains.
pub const LOOKUP_MS_MAX: u64 = 8_500;

/// Time that is left of a mode's call when its lookup ends, in milliseconds, so that the mode
/// can return what was found.
pub const LOOKUP_SPARE_MS: u64 = 1_000;

/// DNS servers, of a grant or of the system.
pub const DNS_SERVERS_MAX: usize = 8;

/// Domains of the search list.
pub const SEARCH_DOMAINS_MAX: usize = 32;

/// Length of the name of a network interface, in bytes (`IFNAMSIZ`, less the final zero).
pub const INTERFACE_NAME_BYTES_MAX: usize = 15;

/// Limit of `options timeout` in `resolv.conf`, in seconds (glibc: `RES_MAXRETRANS`).
pub const RESOLV_TIMEOUT_S_MAX: u64 = 30;
/// Limit of `options attempts` in `resolv.conf` (glibc: `RES_MAXRETRY`).
pub const RESOLV_ATTEMPTS_MAX: u32 = 5;
/// Limit of `options ndots` in `resolv.conf` (glibc: `RES_MAXNDOTS`).
pub const RESOLV_NDOTS_MAX: usize = 15;

/// Shortest time that a server has to answer when others are to be queried after it, in
/// milliseconds: the time of a lookup is divided among the servers.
pub const DNS_TURN_MS_MIN: u64 = 2_500;

/// Time that a backed-off server has to answer when it verifies a negative answer of another
/// server, in milliseconds.
pub const DNS_BACKED_OFF_TURN_MS: u64 = 1_000;

/// Time for which a server that timed out is queried after the others, in milliseconds.
pub const DNS_BACK_OFF_MS: u64 = 30_000;

/// Time after which a query without a response is sent again, without EDNS, in milliseconds.
pub const DNS_RESEND_MS: u64 = 1_000;

/// Time after which the next name of the search list is queried while the previous one has no
/// response, in milliseconds.
pub const SEARCH_HEAD_START_MS: u64 = 500;

/// Time that the addresses of one type wait for those of the other type, in milliseconds.
pub const OTHER_KIND_MS_MAX: u64 = 2_000;

/// Aliases (CNAME) that are followed.
pub const ALIASES_MAX: usize = 16;

/// Buffer for a datagram of a DNS server, in bytes. Queries ask for at most
/// [`DNS_PAYLOAD_BYTES`].
pub const DNS_DATAGRAM_BYTES_MAX: usize = 4_096;

/// UDP payload size in EDNS queries, in bytes: it avoids IP fragmentation (DNS Flag Day 2020).
pub const DNS_PAYLOAD_BYTES: u16 = 1_232;

/// Size of `/etc/resolv.conf` that is read, in bytes.
pub const RESOLV_CONF_BYTES_MAX: u64 = 1 << 20;
/// Size of `/etc/hosts` that is read, in bytes: it may contain a list of blocked names.
pub const HOSTS_BYTES_MAX: u64 = 16 << 20;

/// Names whose last lookup failure is remembered for the log.
pub const FAILED_NAMES_MAX: usize = 1_024;

/// Addresses of one name.
pub const LOOKUP_ADDRESSES_MAX: usize = 4_096;

/// Targets of one service.
pub const SERVICE_TARGETS_MAX: usize = 1_024;

/// Different queries of one mode to the Kubernetes API; each is a task.
pub const QUERIES_MAX: usize = 8;

/// Pods, or endpoints of a service, of one query.
pub const PODS_MAX: usize = 16_384;

/// Time that a mode waits for the first response to a query, in milliseconds.
pub const FIRST_ANSWER_MS_MAX: u64 = 6_000;

/// Timeout for connecting to the API server, in milliseconds.
pub const API_CONNECT_MS_MAX: u64 = 2_000;

/// Timeout for one page of a list, or for opening a watch, in milliseconds.
pub const API_ANSWER_MS_MAX: u64 = 5_000;

/// Size of one page of a list, in bytes: 500 large pods take about 10 MiB.
pub const API_ANSWER_BYTES_MAX: usize = 32 << 20;

/// Size of one event of a watch, in bytes.
pub const WATCH_LINE_BYTES_MAX: usize = 4 << 20;

/// Time without events after which a watch is opened again, in milliseconds. Servers send
/// bookmarks about once a minute.
pub const WATCH_IDLE_MS_MAX: u64 = 90_000;

/// First wait after a failure of the API server, in milliseconds.
pub const API_BACK_OFF_MS_MIN: u64 = 250;
/// Longest wait after a failure of the API server, in milliseconds.
pub const API_BACK_OFF_MS_MAX: u64 = 5_000;

/// Interval between lists if the account may not watch, in milliseconds.
pub const API_LIST_AGAIN_MS: u64 = 10_000;

/// Time for which a denial (403) of what was allowed before is treated as temporary, in
/// milliseconds: after a restart an API server has loaded its Roles within about one second.
pub const TEMPORARY_DENIAL_MS: u64 = 5_000;

/// Length of a name in a mode's store, in bytes.
pub const STORE_NAME_BYTES_MAX: usize = 64;

/// Values in a mode's store.
pub const STORE_NAMES_MAX: usize = 256;

/// Entries of a store's folder that are read: an operator may have put more files into it than
/// a mode could.
pub const STORE_ENTRIES_READ_MAX: usize = 4_096;

/// Folders for one mode on one machine, one for each member.
pub const STORE_FOLDERS_MAX: usize = 64;

/// HTTP requests of one mode in progress at a time.
pub const REQUESTS_AT_ONCE: usize = 8;

/// HTTP requests that a mode may make per second, on average.
pub const REQUESTS_PER_SECOND: u32 = 20;

/// HTTP requests that a mode may make in a burst.
pub const REQUESTS_BURST: u32 = 60;

/// Timeout for connecting for an HTTP request, in milliseconds.
pub const REQUEST_CONNECT_MS_MAX: u64 = 3_000;

/// Timeout for the response headers, in milliseconds: as long as a call may take.
pub const REQUEST_ANSWER_MS_MAX: u64 = CALL_MS_MAX;

/// Size of a response body, in bytes.
pub const ANSWER_BODY_BYTES_MAX: usize = 16 << 20;

/// Size of the headers of a response or request, in bytes as they are held in memory.
pub const HTTP_FIELDS_BYTES_MAX: usize = 64 << 10;

/// Idle connections that are kept open for one mode and server.
pub const REQUEST_IDLE_CONNECTIONS_MAX: usize = 2;
/// Time for which an idle connection is kept open, in milliseconds.
pub const REQUEST_IDLE_MS_MAX: u64 = 30_000;

/// Random bytes that a runtime gets by one call.
pub const RANDOM_BYTES_MAX: u64 = 64 << 10;

/// Length of one line that a mode writes to standard output or error, in bytes; a longer line
/// is split.
pub const PRINTED_LINE_BYTES_MAX: usize = 1_024;

/// Interval at which the file of a mode is checked for changes, in milliseconds; a change is
/// used once two checks give the same version.
pub const FILE_WATCH_MS: u64 = 500;

/// Failed `discover` calls of a new version before it is rejected.
pub const TRIAL_LOOKS_MAX: u32 = 8;
