//! A gateway that speaks HTTPS.

use crate::{Authority, Certificate, Curled, Folder, Gateway, Http3, Http3Client, curl};

/// A gateway that speaks HTTPS, with whoever has signed its certificate.
#[derive(Debug)]
pub struct Secured {
    /// The gateway. In its folder lie `ca.pem`, `a.pem` and `a.key`.
    pub gateway: Gateway,
    /// Who has signed its certificate.
    pub authority: Authority,
}

impl Secured {
    /// Starts a gateway whose listener has these keys in its `tls`, besides a certificate for these names; what else is
    /// configured stands before it.
    pub async fn start(names: &[&str], tls: &str, configuration: &str) -> Self {
        let (folder, authority) = (Folder::new(), Authority::new());
        folder.write("ca.pem", authority.pem());
        write_pair(&folder, "a", &authority.issue(names));
        Self::start_in(folder, authority, tls, configuration).await
    }

    /// The same with what lies in this folder.
    pub async fn start_in(folder: Folder, authority: Authority, tls: &str, configuration: &str) -> Self {
        let gateway = Gateway::start_in(folder, Self::configuration(tls, configuration), &[]).await;
        Secured { gateway, authority }
    }

    /// The same, and HTTP/3 is spoken; `http3` is what the listener says of it, `true` or more.
    pub async fn with_http3(names: &[&str], http3: &str, configuration: &str) -> Self {
        let (folder, authority) = (Folder::new(), Authority::new());
        folder.write("ca.pem", authority.pem());
        write_pair(&folder, "a", &authority.issue(names));
        Self::with_http3_in(folder, authority, "", http3, configuration).await
    }

    /// The same with what lies in this folder, and these keys in `tls`.
    pub async fn with_http3_in(
        folder: Folder,
        authority: Authority,
        tls: &str,
        http3: &str,
        configuration: &str,
    ) -> Self {
        let configuration = Self::http3_configuration(tls, http3, configuration);
        let gateway = Gateway::start_in(folder, configuration, &[]).await;
        Secured { gateway, authority }
    }

    /// The configuration of [`Secured::with_http3`].
    pub fn http3_configuration(tls: &str, http3: &str, configuration: &str) -> String {
        format!("{}http3 = {http3}\n", Self::configuration(tls, configuration))
    }

    /// A connection of HTTP/3 to a host of this name.
    pub async fn http3(&self, host: &str) -> Http3 {
        let client = Http3Client::trusting(&self.authority);
        client.connect(self.gateway.secure_address(), host).await
    }

    /// The configuration of [`Secured::start`].
    pub fn configuration(tls: &str, configuration: &str) -> String {
        let certificates = match tls.contains("certificates") {
            true => "",
            false => "certificates = { certificate = 'a.pem', key = 'a.key' }, ",
        };
        format!(
            "{configuration}\n[[listener]]\nname = 'edge'\naddress = '127.0.0.1:0'\ntls = {{ {certificates}{tls} }}\n"
        )
    }

    /// Sends a GET by curl, which trusts the authority, to a host of this name.
    pub async fn curl(&self, host: &str, path: &str, arguments: &[&str]) -> Curled {
        let address = self.gateway.secure_address();
        let roots = self.gateway.folder().path().join("ca.pem");
        let resolve = format!("{host}:{}:{}", address.port(), address.ip());
        let url = format!("https://{host}:{}{path}", address.port());
        let own = ["--cacert", roots.to_str().expect("a path"), "--resolve", &resolve, &url];
        curl(&[&own, arguments].concat()).await
    }
}

/// Writes a certificate and its key as `NAME.pem` and `NAME.key`.
pub fn write_pair(folder: &Folder, name: &str, certificate: &Certificate) {
    folder.write(&format!("{name}.key"), &certificate.key);
    folder.write(&format!("{name}.pem"), &certificate.pem);
}
