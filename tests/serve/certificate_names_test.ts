import { assertEquals } from "@std/assert";
import { certificateNames } from "../../lib/serve/certificate_names.ts";
import { makeCertificates } from "../support/certificates.ts";

/** The DER of a PEM file. */
function der(pem: Uint8Array): Uint8Array {
  const text = new TextDecoder().decode(pem);
  const [, base64 = ""] = /-----BEGIN CERTIFICATE-----([^-]*)-----END/.exec(text) ?? [];
  return Uint8Array.fromBase64(base64);
}

Deno.test("a certificate names what it was signed for, and a name with a comma in it is not two", async () => {
  await using certificates = await makeCertificates();
  const { cert } = await certificates.sign({
    name: "names",
    commonName: "web1",
    extensions: `extendedKeyUsage=clientAuth
subjectAltName=@names
[names]
DNS.1=web1.example.net
IP.1=10.0.0.1
URI.1=urn:a\\, DNS:operator
URI.2=spiffe://example.net/host/0123abcd
email.1=web@example.net`,
  });
  const names = ["web1", "web1.example.net", "spiffe://example.net/host/0123abcd", "web@example.net"];
  assertEquals(certificateNames(der(cert.bytes), "web1"), { names, ids: [...names, "0123abcd"] });
  assertEquals(certificateNames(der(certificates.client.cert.bytes), undefined), { names: [], ids: [] });
  assertEquals(certificateNames(new Uint8Array([0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), "x"), {
    names: ["x"],
    ids: ["x"],
  });
});
