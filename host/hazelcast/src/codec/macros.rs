//! The macros that turn rows into types: `service!` for requests with their responses, `responses!`
//! for those with a type of their own, `events!`, and `structures!` for the data structures within
//! messages.
//!
//! The fields of a row are those of the definition: the ones of fixed size, a semicolon, the ones
//! of variable size, each group in the order in which it is encoded. A default is for senders whose
//! version of the protocol does not have the field.

/// A default of a field, as an option.
macro_rules! default {
    () => {
        None
    };
    ($default:expr) => {
        Some($default)
    };
}

/// Declares a variable for each field of a message, and returns the error of the first one that
/// cannot be read. Fields of fixed size begin at `$offset` of the initial frame.
macro_rules! read_fields {
    ($message:expr, $offset:literal, $type:expr;
        ($($fixed:ident: $fixed_type:ty $(= $fixed_default:expr)?),*);
        ($($field:ident: $field_type:ty $(= $field_default:expr)?),*)
    ) => {
        #[allow(unused_mut, reason = "not all messages have fields of both kinds")]
        let (mut fixed_bytes, mut frames) = (
            $message.initial().content.get($offset..).unwrap_or_default(), $message.frames(),
        );
        $(
            let $fixed: $fixed_type =
                field::take_field(&mut fixed_bytes, default!($($fixed_default)?))
                    .map_err(|problem| problem.of($type, stringify!($fixed)))?;
        )*
        $(
            let $field: $field_type =
                field::read_field(&mut frames, default!($($field_default)?))
                    .map_err(|problem| problem.of($type, stringify!($field)))?;
        )*
        // The rest belongs to newer versions.
        let _ = (fixed_bytes, frames);
    };
}

/// Writes the fields of a message after its header, and ends it.
macro_rules! write_fields {
    ($writer:expr; $($fixed:expr),*; $($field:expr),*) => {
        let mut writer = $writer;
        $(field::Fixed::put($fixed, &mut writer);)*
        writer.end();
        $(field::Variable::write(&$field, &mut writer);)*
        writer.finish();
    };
}

/// The requests of a service.
///
/// A row: id and name of the method, name of the request, its fields, and those of its response, or
/// a structure with them. After `events`: the name of a constant, the kind of the event's message
/// type, and the event.
macro_rules! service {
    (
        $(#[$service_attribute:meta])*
        $service:literal $service_id:literal;
        $(
            $(#[$attribute:meta])*
            $method_id:literal $method:literal $request:ident $(<$lifetime:lifetime>)? (
                $($fixed:ident: $fixed_type:ty $(= $fixed_default:expr)?),*;
                $($field:ident: $field_type:ty $(= $field_default:expr)?),*
            ) -> $response:tt
                $(events { $($event:ident $event_kind:literal $event_type:ident),* })?;
        )*
    ) => {
        /// Id of the service in message types.
        pub const SERVICE_ID: u8 = $service_id;

        /// Id and full name of each request.
        pub(crate) const NAMES: &[(u8, &str)] =
            &[$(($method_id, concat!($service, ".", $method)),)*];

        $(#[$service_attribute])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum Request<'a> {
            $(
                #[doc = concat!("`", $service, ".", $method, "`")]
                $request($request $(<$lifetime>)?),
            )*
        }

        impl<'a> Request<'a> {
            /// Decodes a request of this service. `None` if its method is unknown.
            pub(crate) fn decode(message: Message<'a>) -> Option<Result<Self, DecodeError>> {
                Some(match message.header().message_type.method_id() {
                    $($method_id => $request::decode(message).map(Self::$request),)*
                    _ => return None,
                })
            }

            /// Type of the message.
            #[must_use]
            pub const fn message_type(&self) -> MessageType {
                match self {
                    $(Self::$request(_) => $request::TYPE,)*
                }
            }

            /// Full name of the request, such as `Map.put`.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$request(_) => $request::NAME,)*
                }
            }

            /// Appends the request to `buffer`.
            #[cfg(any(test, feature = "client"))]
            pub fn write(&self, buffer: &mut Vec<u8>, correlation_id: i64, partition_id: i32) {
                match self {
                    $(Self::$request(request) => {
                        request.write(buffer, correlation_id, partition_id);
                    })*
                }
            }
        }

        /// Decodes a response or an event, and appends it to `buffer`. `None` if there is none of
        /// its type.
        #[cfg(test)]
        pub(crate) fn repeat(
            message: Message<'_>,
            buffer: &mut Vec<u8>,
        ) -> Option<Result<(), DecodeError>> {
            let header = message.header();
            $(
                if header.message_type == $request::TYPE.response() {
                    return Some($request::repeat_response(message, buffer));
                }
                $($(
                    if header.message_type == $request::$event {
                        let event = super::events::$event_type::decode(message);
                        return Some(event.map(|event| {
                            event.write(buffer, header.message_type, header.correlation_id);
                        }));
                    }
                )*)?
            )*
            None
        }

        $(
            #[doc = concat!("`", $service, ".", $method, "`")]
            ///
            $(#[$attribute])*
            #[derive(Clone, Copy, Debug, PartialEq)]
            #[allow(missing_docs, reason = "the module `codec` explains the fields")]
            pub struct $request $(<$lifetime>)? {
                $(pub $fixed: $fixed_type,)*
                $(pub $field: $field_type,)*
            }

            impl<'a> $request $(<$lifetime>)? {
                /// Type of the request.
                pub const TYPE: MessageType = MessageType::request($service_id, $method_id);

                /// Full name of the request.
                pub const NAME: &'static str = concat!($service, ".", $method);

                $($(
                    #[doc = concat!(
                        "Type of [`", stringify!($event_type), "`](super::events::",
                        stringify!($event_type), ") for this listener.",
                    )]
                    pub const $event: MessageType = Self::TYPE.kind($event_kind);
                )*)?

                fn decode(message: Message<'a>) -> Result<Self, DecodeError> {
                    read_fields! {
                        message, 16, Self::TYPE;
                        ($($fixed: $fixed_type $(= $fixed_default)?),*);
                        ($($field: $field_type $(= $field_default)?),*)
                    }
                    Ok(Self { $($fixed,)* $($field,)* })
                }

                /// Appends the request to `buffer`.
                #[cfg(any(test, feature = "client"))]
                pub fn write(&self, buffer: &mut Vec<u8>, correlation_id: i64, partition_id: i32) {
                    let flags = crate::frame::Flags::NONE;
                    write_fields! {
                        Writer::request(buffer, flags, Self::TYPE, correlation_id, partition_id);
                        $(self.$fixed),*; $(self.$field),*
                    }
                }

                response!($response);
            }
        )*
    };
}

/// The response of a request.
macro_rules! response {
    ((
        $($fixed:ident: $fixed_type:ty $(= $fixed_default:expr)?),*;
        $($field:ident: $field_type:ty $(= $field_default:expr)?),*
    )) => {
        /// Appends the response to `buffer`. `backup_acks` is the number of backups that the client
        /// has to wait for.
        pub fn respond(
            buffer: &mut Vec<u8>,
            correlation_id: i64,
            backup_acks: u8,
            $($fixed: $fixed_type,)*
            $($field: $field_type,)*
        ) {
            let response = Self::TYPE.response();
            write_fields! {
                Writer::response(buffer, response, correlation_id, backup_acks);
                $($fixed),*; $($field),*
            }
        }

        /// Decodes a response: its fields.
        ///
        /// # Errors
        /// It is not a response to this request.
        #[cfg(any(test, feature = "client"))]
        #[allow(clippy::type_complexity, reason = "the fields of a row")]
        pub fn read_response(
            message: Message<'a>,
        ) -> Result<($($fixed_type,)* $($field_type,)*), DecodeError> {
            field::check_type(message, Self::TYPE.response())?;
            read_fields! {
                message, 13, Self::TYPE.response();
                ($($fixed: $fixed_type $(= $fixed_default)?),*);
                ($($field: $field_type $(= $field_default)?),*)
            }
            Ok(($($fixed,)* $($field,)*))
        }

        #[cfg(test)]
        fn repeat_response(message: Message<'a>, buffer: &mut Vec<u8>) -> Result<(), DecodeError> {
            let ($($fixed,)* $($field,)*) = Self::read_response(message)?;
            let acks = message.initial().content[12];
            Self::respond(buffer, message.header().correlation_id, acks, $($fixed,)* $($field,)*);
            Ok(())
        }
    };
    ($response:ident) => {
        /// Appends the response to `buffer`.
        pub fn respond(buffer: &mut Vec<u8>, correlation_id: i64, response: &$response<'_>) {
            response.write(buffer, Self::TYPE.response(), correlation_id);
        }

        /// Decodes a response.
        ///
        /// # Errors
        /// It is not a response to this request.
        #[cfg(any(test, feature = "client"))]
        pub fn read_response(message: Message<'a>) -> Result<$response<'a>, DecodeError> {
            field::check_type(message, Self::TYPE.response())?;
            $response::decode(message)
        }

        #[cfg(test)]
        fn repeat_response(message: Message<'a>, buffer: &mut Vec<u8>) -> Result<(), DecodeError> {
            let response = Self::read_response(message)?;
            Self::respond(buffer, message.header().correlation_id, &response);
            Ok(())
        }
    };
}

/// Responses of more than one request, or with many fields. A row: the name, and the fields.
macro_rules! responses {
    ($(
        $(#[$attribute:meta])*
        $response:ident<'a> (
            $($fixed:ident: $fixed_type:ty $(= $fixed_default:expr)?),*;
            $($field:ident: $field_type:ty $(= $field_default:expr)?),*
        );
    )*) => {$(
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        #[allow(missing_docs, reason = "the module `codec` explains the fields")]
        pub struct $response<'a> {
            $(pub $fixed: $fixed_type,)*
            $(pub $field: $field_type,)*
        }

        impl<'a> $response<'a> {
            fn write(&self, buffer: &mut Vec<u8>, message_type: MessageType, correlation_id: i64) {
                write_fields! {
                    Writer::response(buffer, message_type, correlation_id, 0);
                    $(self.$fixed),*; $(self.$field),*
                }
            }

            #[cfg(any(test, feature = "client"))]
            fn decode(message: Message<'a>) -> Result<Self, DecodeError> {
                read_fields! {
                    message, 13, message.header().message_type;
                    ($($fixed: $fixed_type $(= $fixed_default)?),*);
                    ($($field: $field_type $(= $field_default)?),*)
                }
                Ok(Self { $($fixed,)* $($field,)* })
            }
        }
    )*};
}

/// Events. A row: the name, and the fields.
macro_rules! events {
    ($(
        $(#[$attribute:meta])*
        $event:ident $(<$lifetime:lifetime>)? (
            $($fixed:ident: $fixed_type:ty),*;
            $($field:ident: $field_type:ty),*
        ) $(flags $flags:ident)?;
    )*) => {$(
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        #[allow(missing_docs, reason = "the module `codec` explains the fields")]
        pub struct $event $(<$lifetime>)? {
            $(pub $fixed: $fixed_type,)*
            $(pub $field: $field_type,)*
        }

        impl<'a> $event $(<$lifetime>)? {
            /// Appends the event to `buffer`. Its type is a constant of the request that registered
            /// the listener, the correlation id is that of this request.
            pub fn write(
                &self,
                buffer: &mut Vec<u8>,
                message_type: MessageType,
                correlation_id: i64,
            ) {
                let flags = [$(Flags::$flags,)? Flags::NONE][0];
                write_fields! {
                    Writer::event(buffer, flags, message_type, correlation_id);
                    $(self.$fixed),*; $(self.$field),*
                }
            }

            /// Decodes an event.
            ///
            /// # Errors
            /// It is not an event of this kind.
            #[cfg(any(test, feature = "client"))]
            pub fn decode(message: Message<'a>) -> Result<Self, DecodeError> {
                read_fields! {
                    message, 16, message.header().message_type;
                    ($($fixed: $fixed_type),*);
                    ($($field: $field_type),*)
                }
                Ok(Self { $($fixed,)* $($field,)* })
            }
        }
    )*};
}

/// Data structures within messages. A row: the name, and the fields. Those of fixed size are in one
/// frame, which is not there if there are none.
macro_rules! structures {
    ($(
        $(#[$attribute:meta])*
        $structure:ident $(<$lifetime:lifetime>)? (
            $($fixed:ident: $fixed_type:ty $(= $fixed_default:expr)?),*;
            $($field:ident: $field_type:ty $(= $field_default:expr)?),* $(,)?
        );
    )*) => {$(
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        #[allow(missing_docs, reason = "the structure and the module `codec` explain the fields")]
        pub struct $structure $(<$lifetime>)? {
            $(pub $fixed: $fixed_type,)*
            $(pub $field: $field_type,)*
        }

        impl<'a> Variable<'a> for $structure $(<$lifetime>)? {
            fn read(frames: &mut Frames<'a>) -> Result<Self, Problem> {
                field::begin(frames)?;
                fixed_frame!(frames; $($fixed: $fixed_type $(= $fixed_default)?),*);
                $(let $field = field::read_field(frames, default!($($field_default)?))?;)*
                field::end(frames)?;
                Ok(Self { $($fixed,)* $($field,)* })
            }

            fn write(&self, writer: &mut Writer<'_>) {
                field::write_begin(writer);
                write_fixed_frame!(self, writer; $($fixed),*);
                $(Variable::write(&self.$field, writer);)*
                field::write_end(writer);
            }
        }
    )*};
}

/// Reads the fields of fixed size of a data structure.
macro_rules! fixed_frame {
    ($frames:ident;) => {};
    ($frames:ident; $($fixed:ident: $fixed_type:ty $(= $default:expr)?),+) => {
        let mut bytes: &[u8] = Variable::read($frames)?;
        $(let $fixed: $fixed_type = field::take_field(&mut bytes, default!($($default)?))?;)+
        let _ = bytes;
    };
}

/// Writes the fields of fixed size of a data structure.
macro_rules! write_fixed_frame {
    ($self:ident, $writer:ident;) => {};
    ($self:ident, $writer:ident; $($fixed:ident),+) => {
        $writer.open(Flags::NONE);
        $(field::Fixed::put($self.$fixed, $writer);)+
        $writer.end();
    };
}
