//! A body writer for a body that is already on its way: what Pingora's own pipe sends went with the assignment.

use async_trait::async_trait;
use bytes::Bytes;
use pingora::Result;
use pingora::protocols::http::custom::BodyWrite;

pub(super) struct Swallow;

#[async_trait]
impl BodyWrite for Swallow {
    async fn write_all_buf(&mut self, data: &mut Bytes) -> Result<()> {
        data.clear();
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        Ok(())
    }

    async fn cleanup(&mut self) -> Result<()> {
        Ok(())
    }

    fn upgrade_body_writer(&mut self) {}
}
