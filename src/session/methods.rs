//! The method paths that a client's session answers. Pure.

/// Sends directories.
pub const FILE_SYNC: &str = "/moby.filesync.v1.FileSync/DiffCopy";
/// Hands out credentials.
pub const CREDENTIALS: &str = "/moby.filesync.v1.Auth/Credentials";
/// Takes exported files.
pub const FILE_SEND: &str = "/moby.filesync.v1.FileSend/DiffCopy";
/// Hands out secrets.
pub const SECRETS: &str = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
/// Says whether there is an SSH agent.
pub const SSH_CHECK: &str = "/moby.sshforward.v1.SSH/CheckAgent";
/// Connects with an SSH agent.
pub const SSH: &str = "/moby.sshforward.v1.SSH/ForwardAgent";
/// Says that the session is alive.
pub const HEALTH: &str = "/grpc.health.v1.Health/Check";

/// Gives what a URL of the session serves.
pub const UPLOAD: &str = "/moby.upload.v1.Upload/Pull";

/// Tells a blob's size.
pub const BLOB_INFO: &str = "/containerd.services.content.v1.Content/Info";
/// Gives a blob.
pub const BLOB_READ: &str = "/containerd.services.content.v1.Content/Read";

/// What the URLs begin with that the engine asks for by [`UPLOAD`]: they can be read once.
pub const UPLOADS: &str = "http://buildkit-session/";

/// All of them, as they are announced to the engine.
pub const METHODS: &[&str] =
    &[FILE_SYNC, CREDENTIALS, FILE_SEND, SECRETS, SSH_CHECK, SSH, UPLOAD, BLOB_INFO, BLOB_READ, HEALTH];
