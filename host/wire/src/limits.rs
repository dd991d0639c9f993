//! Bounds of a stream.

/// The longest payload of a frame, in bytes. Frames are not interleaved: a sender of both bulk data
/// and control messages should use far smaller frames for the bulk data.
pub const FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Maximum number of bytes that one write call passes to the pipe. A caller that drains a queue
/// should flush when [`FrameWriter::buffered`](crate::FrameWriter::buffered) reaches this.
pub const WRITE_BYTES_MAX: usize = 64 * 1024;

/// Maximum number of bytes that wait for a flush: enough for two frames of maximum size.
pub const BUFFERED_BYTES_MAX: usize = 2 * FRAME_BYTES_MAX + WRITE_BYTES_MAX;
