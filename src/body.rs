//! The replayable request body.
