//! Errors that members report to clients.
//!
//! A client makes an exception of its own language of the code. With an unknown code, it shows the
//! class name. Some codes have an effect: on [`ErrorCode::is_retryable`] ones, a client repeats its
//! request after a second.

use crate::codec::field::{self, Problem, Variable};
use crate::codec::{DecodeError, List, message_name};
use crate::frame::{Flags, Frames};
use crate::message::{Message, MessageType, Writer};

macro_rules! error_codes {
    ($($code:literal $name:ident $class:literal;)*) => {
        /// Code of an error, after the class of the exception that a member in Java would throw.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum ErrorCode {
            $(
                #[doc = concat!("`", $class, "`")]
                $name = $code,
            )*
        }

        impl ErrorCode {
            /// All codes.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Name of the class of the exception.
            #[must_use]
            pub const fn class_name(self) -> &'static str {
                match self {
                    $(Self::$name => $class,)*
                }
            }
        }
    };
}

error_codes! {
    1 ArrayIndexOutOfBounds "java.lang.ArrayIndexOutOfBoundsException";
    2 ArrayStore "java.lang.ArrayStoreException";
    3 Authentication "com.hazelcast.client.AuthenticationException";
    4 Cache "javax.cache.CacheException";
    5 CacheLoader "javax.cache.integration.CacheLoaderException";
    6 CacheNotExists "com.hazelcast.cache.CacheNotExistsException";
    7 CacheWriter "javax.cache.integration.CacheWriterException";
    8 CallerNotMember "com.hazelcast.spi.exception.CallerNotMemberException";
    9 Cancellation "java.util.concurrent.CancellationException";
    10 ClassCast "java.lang.ClassCastException";
    11 ClassNotFound "java.lang.ClassNotFoundException";
    12 ConcurrentModification "java.util.ConcurrentModificationException";
    13 ConfigMismatch "com.hazelcast.internal.cluster.impl.ConfigMismatchException";
    14 DistributedObjectDestroyed "com.hazelcast.spi.exception.DistributedObjectDestroyedException";
    15 Eof "java.io.EOFException";
    16 EntryProcessor "javax.cache.processor.EntryProcessorException";
    17 Execution "java.util.concurrent.ExecutionException";
    18 Hazelcast "com.hazelcast.core.HazelcastException";
    19 HazelcastInstanceNotActive "com.hazelcast.core.HazelcastInstanceNotActiveException";
    20 HazelcastOverload "com.hazelcast.core.HazelcastOverloadException";
    21 HazelcastSerialization "com.hazelcast.nio.serialization.HazelcastSerializationException";
    22 Io "java.io.IOException";
    23 IllegalArgument "java.lang.IllegalArgumentException";
    24 IllegalAccessException "java.lang.IllegalAccessException";
    25 IllegalAccessError "java.lang.IllegalAccessError";
    26 IllegalMonitorState "java.lang.IllegalMonitorStateException";
    27 IllegalState "java.lang.IllegalStateException";
    28 IllegalThreadState "java.lang.IllegalThreadStateException";
    29 IndexOutOfBounds "java.lang.IndexOutOfBoundsException";
    30 Interrupted "java.lang.InterruptedException";
    31 InvalidAddress "com.hazelcast.internal.util.AddressUtil$InvalidAddressException";
    32 InvalidConfiguration "com.hazelcast.config.InvalidConfigurationException";
    33 MemberLeft "com.hazelcast.core.MemberLeftException";
    34 NegativeArraySize "java.lang.NegativeArraySizeException";
    35 NoSuchElement "java.util.NoSuchElementException";
    36 NotSerializable "java.io.NotSerializableException";
    37 NullPointer "java.lang.NullPointerException";
    38 OperationTimeout "com.hazelcast.core.OperationTimeoutException";
    39 PartitionMigrating "com.hazelcast.spi.exception.PartitionMigratingException";
    40 Query "com.hazelcast.query.QueryException";
    41 QueryResultSizeExceeded "com.hazelcast.map.QueryResultSizeExceededException";
    42 SplitBrainProtection "com.hazelcast.splitbrainprotection.SplitBrainProtectionException";
    43 ReachedMaxSize "com.hazelcast.map.ReachedMaxSizeException";
    44 RejectedExecution "java.util.concurrent.RejectedExecutionException";
    45 ResponseAlreadySent "com.hazelcast.spi.exception.ResponseAlreadySentException";
    46 RetryableHazelcast "com.hazelcast.spi.exception.RetryableHazelcastException";
    47 RetryableIo "com.hazelcast.spi.exception.RetryableIOException";
    48 Runtime "java.lang.RuntimeException";
    49 Security "java.lang.SecurityException";
    50 Socket "java.net.SocketException";
    51 StaleSequence "com.hazelcast.ringbuffer.StaleSequenceException";
    52 TargetDisconnected "com.hazelcast.spi.exception.TargetDisconnectedException";
    53 TargetNotMember "com.hazelcast.spi.exception.TargetNotMemberException";
    54 Timeout "java.util.concurrent.TimeoutException";
    55 TopicOverload "com.hazelcast.topic.TopicOverloadException";
    56 Transaction "com.hazelcast.transaction.TransactionException";
    57 TransactionNotActive "com.hazelcast.transaction.TransactionNotActiveException";
    58 TransactionTimedOut "com.hazelcast.transaction.TransactionTimedOutException";
    59 UriSyntax "java.net.URISyntaxException";
    60 UtfDataFormat "java.io.UTFDataFormatException";
    61 UnsupportedOperation "java.lang.UnsupportedOperationException";
    62 WrongTarget "com.hazelcast.spi.exception.WrongTargetException";
    63 Xa "javax.transaction.xa.XAException";
    64 AccessControl "java.security.AccessControlException";
    65 Login "javax.security.auth.login.LoginException";
    66 UnsupportedCallback "javax.security.auth.callback.UnsupportedCallbackException";
    67 NoDataMember "com.hazelcast.partition.NoDataMemberInClusterException";
    68 ReplicatedMapCantBeCreated "com.hazelcast.replicatedmap.ReplicatedMapCantBeCreatedOnLiteMemberException";
    69 MaxMessageSizeExceeded "com.hazelcast.client.impl.protocol.exception.MaxMessageSizeExceeded";
    70 WanReplicationQueueFull "com.hazelcast.wan.WanQueueFullException";
    71 AssertionError "java.lang.AssertionError";
    72 OutOfMemoryError "java.lang.OutOfMemoryError";
    73 StackOverflowError "java.lang.StackOverflowError";
    74 NativeOutOfMemoryError "com.hazelcast.memory.NativeOutOfMemoryError";
    75 ServiceNotFound "com.hazelcast.spi.exception.ServiceNotFoundException";
    76 StaleTaskId "com.hazelcast.durableexecutor.StaleTaskIdException";
    77 DuplicateTask "com.hazelcast.scheduledexecutor.DuplicateTaskException";
    78 StaleTask "com.hazelcast.scheduledexecutor.StaleTaskException";
    79 LocalMemberReset "com.hazelcast.core.LocalMemberResetException";
    80 IndeterminateOperationState "com.hazelcast.core.IndeterminateOperationStateException";
    81 FlakeIdNodeIdOutOfRange "com.hazelcast.flakeidgen.impl.NodeIdOutOfRangeException";
    82 TargetNotReplica "com.hazelcast.crdt.TargetNotReplicaException";
    83 MutationDisallowed "com.hazelcast.crdt.MutationDisallowedException";
    84 ConsistencyLost "com.hazelcast.core.ConsistencyLostException";
    85 SessionExpired "com.hazelcast.cp.internal.session.SessionExpiredException";
    86 WaitKeyCancelled "com.hazelcast.cp.internal.datastructures.exception.WaitKeyCancelledException";
    87 LockAcquireLimitReached "com.hazelcast.cp.lock.exception.LockAcquireLimitReachedException";
    88 LockOwnershipLost "com.hazelcast.cp.lock.exception.LockOwnershipLostException";
    89 CpGroupDestroyed "com.hazelcast.cp.exception.CPGroupDestroyedException";
    90 CannotReplicate "com.hazelcast.cp.exception.CannotReplicateException";
    91 LeaderDemoted "com.hazelcast.cp.exception.LeaderDemotedException";
    92 StaleAppendRequest "com.hazelcast.cp.exception.StaleAppendRequestException";
    93 NotLeader "com.hazelcast.cp.exception.NotLeaderException";
    94 VersionMismatch "com.hazelcast.internal.cluster.impl.VersionMismatchException";
    95 NoSuchMethodError "java.lang.NoSuchMethodError";
    96 NoSuchMethodException "java.lang.NoSuchMethodException";
    97 NoSuchFieldError "java.lang.NoSuchFieldError";
    98 NoSuchFieldException "java.lang.NoSuchFieldException";
    99 NoClassDefFoundError "java.lang.NoClassDefFoundError";
    100 CpLeaderSteppingDown "com.hazelcast.cp.exception.CPLeaderSteppingDownException";
}

impl ErrorCode {
    /// The number that is sent.
    #[must_use]
    pub const fn code(self) -> i32 {
        self as i32
    }

    /// The error of this number. `None` if it is unknown.
    #[must_use]
    pub fn from_code(code: i32) -> Option<Self> {
        Self::ALL.iter().copied().find(|error| error.code() == code)
    }

    /// Whether every client repeats a request that this is the response to, after a second and for
    /// 120 seconds. To forward a request is faster.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::CallerNotMember
                | Self::CannotReplicate
                | Self::HazelcastInstanceNotActive
                | Self::MemberLeft
                | Self::PartitionMigrating
                | Self::RetryableHazelcast
                | Self::RetryableIo
                | Self::TargetNotMember
                | Self::TargetNotReplica
                | Self::WrongTarget
        )
    }

    /// The error with a text for the user, without a stack trace.
    #[must_use]
    pub fn holder(self, message: &str) -> ErrorHolder<'_> {
        ErrorHolder {
            error_code: self.code(),
            class_name: self.class_name(),
            message: Some(message),
            stack_trace_elements: List::default(),
        }
    }

    /// Appends the response to a request that failed, with a text for the user.
    pub fn respond(self, buffer: &mut Vec<u8>, correlation_id: i64, message: &str) {
        respond(buffer, correlation_id, &[self.holder(message)]);
    }
}

structures! {
    /// An error.
    ErrorHolder<'a> (
        error_code: i32;
        class_name: &'a str, message: Option<&'a str>,
        stack_trace_elements: List<'a, StackTraceElement<'a>>
    );

    /// A line of a stack trace.
    StackTraceElement<'a> (
        line_number: i32; class_name: &'a str, method_name: &'a str, file_name: Option<&'a str>
    );
}

/// Appends the response to a request that failed: the error, then its causes.
pub fn respond(buffer: &mut Vec<u8>, correlation_id: i64, errors: &[ErrorHolder<'_>]) {
    let mut writer = Writer::response(buffer, MessageType::ERROR, correlation_id, 0);
    writer.end();
    List::from(errors).write(&mut writer);
    writer.finish();
}

/// The service of requests that add configurations of structures.
const DYNAMIC_CONFIG_SERVICE_ID: u8 = 0x1b;

/// Appends the response to a request of this type that is not supported.
///
/// A configuration that a client adds is refused as one that conflicts with the member's own:
/// libraries expect that error, and go on.
pub fn respond_unsupported(buffer: &mut Vec<u8>, correlation_id: i64, message_type: MessageType) {
    let name = message_name(message_type).unwrap_or("An unknown message");
    let (code, text) = if message_type.service_id() == DYNAMIC_CONFIG_SERVICE_ID {
        (ErrorCode::InvalidConfiguration, "is not supported: configure the members instead")
    } else {
        (ErrorCode::UnsupportedOperation, "is not supported")
    };
    code.respond(buffer, correlation_id, &format!("{name} ({message_type}) {text}"));
}

/// The error that a response reports, and its causes.
///
/// # Errors
/// The message is not an error.
pub fn decode<'a>(message: Message<'a>) -> Result<List<'a, ErrorHolder<'a>>, DecodeError> {
    let message_type = message.header().message_type;
    if message_type != MessageType::ERROR {
        return Err(Problem::Type.of(message_type, "type"));
    }
    List::read(&mut message.frames()).map_err(|problem| problem.of(message_type, "errors"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(response: &[u8]) -> Vec<ErrorHolder<'_>> {
        decode(Message::parse(response).unwrap()).unwrap().iter().collect()
    }

    #[test]
    fn codes_are_consecutive() {
        let codes = ErrorCode::ALL.iter().map(|error| error.code());
        assert!(codes.eq(1..=100));
        for error in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_code(error.code()), Some(*error));
        }
        assert_eq!((ErrorCode::from_code(0), ErrorCode::from_code(101)), (None, None));
    }

    #[test]
    fn an_error_has_code_class_and_text() {
        let mut response = Vec::new();
        ErrorCode::IllegalMonitorState.respond(&mut response, 7, "not the owner of the lock");
        let header = Message::parse(&response).unwrap().header();
        assert_eq!((header.message_type, header.correlation_id), (MessageType::ERROR, 7));
        let errors = errors(&response);
        assert_eq!((errors.len(), errors[0].error_code), (1, 26));
        assert_eq!(errors[0].class_name, "java.lang.IllegalMonitorStateException");
        assert_eq!(errors[0].message, Some("not the owner of the lock"));
    }

    #[test]
    fn causes_follow_the_error() {
        let line = StackTraceElement {
            line_number: 7,
            class_name: "Queue",
            method_name: "take",
            file_name: None,
        };
        let lines = [line];
        let cause = ErrorHolder {
            stack_trace_elements: List::from(&lines),
            message: None,
            ..ErrorCode::Interrupted.holder("")
        };
        let sent = [ErrorCode::Execution.holder("the operation failed"), cause];
        let mut response = Vec::new();
        respond(&mut response, 7, &sent);
        assert_eq!(errors(&response), sent);
    }

    #[test]
    fn a_refusal_names_the_request() {
        let refusal = |message_type| {
            let mut response = Vec::new();
            respond_unsupported(&mut response, 7, MessageType(message_type));
            let error = errors(&response).swap_remove(0);
            (ErrorCode::from_code(error.error_code), error.message.unwrap().to_owned())
        };
        let unsupported = |text: &str| {
            (Some(ErrorCode::UnsupportedOperation), format!("{text} is not supported"))
        };
        assert_eq!(refusal(0x21_0400), unsupported("Sql.execute (0x210400)"));
        assert_eq!(refusal(0x77_0100), unsupported("An unknown message (0x770100)"));
    }

    #[test]
    fn a_configuration_is_refused_as_a_conflicting_one() {
        let mut response = Vec::new();
        respond_unsupported(&mut response, 7, MessageType(0x1b_0c00));
        let error = errors(&response).swap_remove(0);
        assert_eq!(error.error_code, ErrorCode::InvalidConfiguration.code());
        assert!(error.message.unwrap().starts_with("DynamicConfig.addMapConfig (0x1b0c00)"));
    }

    #[test]
    fn other_messages_are_no_errors() {
        let mut response = Vec::new();
        crate::codec::client::Ping::respond(&mut response, 7, 0);
        let error = decode(Message::parse(&response).unwrap()).unwrap_err();
        assert_eq!(error.problem, Problem::Type);
    }

    #[test]
    fn fuzz_errors() {
        let mut sample = Vec::new();
        respond(&mut sample, 7, &[ErrorCode::Cache.holder("a"), ErrorCode::Io.holder("b")]);
        convoke_harness::check!(&[sample], |bytes| {
            let Ok(errors) = Message::parse(bytes).map(decode) else { return };
            let Ok(errors) = errors else { return };
            let (sent, mut again) = (errors.iter().collect::<Vec<_>>(), Vec::new());
            respond(&mut again, 7, &sent);
            assert_eq!(decode(Message::parse(&again).unwrap()), Ok(errors));
        });
    }
}
