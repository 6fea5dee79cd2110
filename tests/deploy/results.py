"""What a survey has come to, for comparison with a serial run; and certificates for Dask's connections."""

import datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lsbatch.engine.registry import PIPELINE
from lsbatch.pipeline.types import Stage
from lsbatch.settings import Config
from lsbatch.storage import files, receipts
from lsbatch.storage.workspace import Workspace

STAGES = [step.name for step in PIPELINE if isinstance(step, Stage)]


def state(config: Config) -> dict[str, Any]:
    """What a survey has come to: digests and checksums of all that was written, by stage and tile."""
    folder = Workspace(config.output).receipts
    return {
        name: {tile: (bool(one), one.digest, dict(one.sums)) for tile, one in receipts.read_stage(folder, name).items()}
        for name in STAGES
    }


def landslides(config: Config) -> bytes:
    """The inventory's table, on disk or in a bucket."""
    return files.read_bytes(Workspace(config.output).inventory / "landslides.csv")


def make_certificates(folder: Path) -> None:
    """An authority, and a certificate of it, as cert-manager writes them into a Secret."""
    names = {key: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, key)]) for key in ("lsbatch-ca", "lsbatch")}
    keys = {key: ec.generate_private_key(ec.SECP256R1()) for key in names}
    now = datetime.datetime.now(datetime.UTC)

    def signed(subject: str, *, is_authority: bool) -> x509.Certificate:
        builder = x509.CertificateBuilder(
            issuer_name=names["lsbatch-ca"], subject_name=names[subject], public_key=keys[subject].public_key(),
            serial_number=x509.random_serial_number(), not_valid_before=now - datetime.timedelta(minutes=5),
            not_valid_after=now + datetime.timedelta(days=1),
        )  # fmt: skip
        usage = x509.KeyUsage(
            digital_signature=not is_authority,
            key_cert_sign=is_authority,
            crl_sign=is_authority,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        builder = builder.add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        builder = builder.add_extension(usage, critical=True)
        return builder.sign(keys["lsbatch-ca"], hashes.SHA256())

    pem = serialization.Encoding.PEM
    (folder / "ca.crt").write_bytes(signed("lsbatch-ca", is_authority=True).public_bytes(pem))
    (folder / "tls.crt").write_bytes(signed("lsbatch", is_authority=False).public_bytes(pem))
    (folder / "tls.key").write_bytes(
        keys["lsbatch"].private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
