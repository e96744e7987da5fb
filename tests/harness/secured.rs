//! A gateway that speaks HTTPS.

use crate::{Authority, Certificate, Curled, Folder, Gateway, curl};

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
