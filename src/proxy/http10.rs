//! Clients that speak HTTP/1.0 do not know the chunked encoding (RFC 9112 §6.1); their answers end with the connection.

use std::any::Any;

use async_trait::async_trait;
use http::Version;
use http::header::TRANSFER_ENCODING;
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::{HttpModule, HttpModuleBuilder, Module};

/// Undoes the chunked framing that Pingora gives every answer without a length, after all filters but a module's.
pub(super) struct Http10;

struct Unchunk {
    is_http10: bool,
}

impl HttpModuleBuilder for Http10 {
    fn init(&self) -> Module {
        Box::new(Unchunk { is_http10: false })
    }
}

#[async_trait]
impl HttpModule for Unchunk {
    async fn request_header_filter(&mut self, request: &mut RequestHeader) -> Result<()> {
        self.is_http10 = request.version == Version::HTTP_10;
        Ok(())
    }

    async fn response_header_filter(&mut self, response: &mut ResponseHeader, _end: bool) -> Result<()> {
        if self.is_http10 {
            response.remove_header(&TRANSFER_ENCODING);
        }
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
