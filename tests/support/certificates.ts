/** Certificates for tests, made by openssl: an authority of their own, and what it signed, rightly and wrongly. */

/** A PEM file by its path and its bytes. */
export interface Pem {
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** A certificate and its key. */
export interface Pair {
  readonly cert: Pem;
  readonly key: Pem;
}

/** A certificate authority and what it signed. */
export interface Certificates extends AsyncDisposable {
  readonly ca: Pem;
  /** For 127.0.0.1 and localhost. */
  readonly server: Pair;
  /** For 127.0.0.9, which no server here listens on. */
  readonly elsewhere: Pair;
  readonly client: Pair;
  /** Another one that the same authority signs. */
  sign(request: SignRequest): Promise<Pair>;
  /** One that nobody signed but itself, for 127.0.0.1, as `openssl req -x509` makes it. */
  selfSigned(): Promise<Pair>;
  /** A key under a passphrase, in the form of PKCS #8 or as older programs write it. */
  encrypted(key: Pem, form: "pkcs8" | "traditional"): Promise<Pem>;
}

/** What is to be signed. */
export interface SignRequest {
  readonly name: string;
  readonly commonName?: string;
  /** Lines of openssl's configuration. */
  readonly extensions: string;
  /** Days from now when it begins and ends to be valid. */
  readonly validDays?: readonly [from: number, to: number];
}

const SERVER = "subjectAltName=IP:127.0.0.1,DNS:localhost";
const CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
const DAY_MS = 86_400_000;

/** Makes a certificate authority and three certificates. */
export async function makeCertificates(): Promise<Certificates> {
  const dir = await Deno.makeTempDir({ prefix: "locksmith-certificates-" });
  let count = 0;
  const pem = async (name: string): Promise<Pem> => {
    const path = `${dir}/${name}.pem`;
    return { path, bytes: await Deno.readFile(path) };
  };
  const pair = async (name: string): Promise<Pair> => ({
    cert: await pem(name),
    key: await pem(`${name}-key`),
  });
  const file = async (name: string, text: string): Promise<string> => {
    await Deno.writeTextFile(`${dir}/${name}`, text);
    return `${dir}/${name}`;
  };
  const selfSigned = async (name: string, subject: string, extensions: readonly string[]): Promise<void> => {
    const added = extensions.flatMap((extension) => ["-addext", extension]);
    const out = ["-keyout", `${dir}/${name}-key.pem`, "-out", `${dir}/${name}.pem`];
    await openssl("req", "-x509", ...CURVE, "-days", "2", "-subj", subject, ...added, ...out);
  };
  // the command that is an authority keeps books, and can say from when to when
  const authority = await file(
    "authority.conf",
    `[ca]
default_ca = this
[this]
database = ${await file("index.txt", "")}
new_certs_dir = ${dir}
serial = ${await file("serial", "01\n")}
default_md = sha256
policy = any
unique_subject = no
certificate = ${dir}/ca.pem
private_key = ${dir}/ca-key.pem
[any]
commonName = supplied
`,
  );
  await selfSigned("ca", "/CN=test CA", ["keyUsage=critical,keyCertSign,cRLSign"]);
  const sign = async ({ name, commonName = "etcd", extensions, validDays = [0, 2] }: SignRequest) => {
    const request = `${dir}/${name}.csr`;
    await openssl(
      "req",
      ...CURVE,
      "-subj",
      `/CN=${commonName}`,
      "-keyout",
      `${dir}/${name}-key.pem`,
      "-out",
      request,
    );
    const [from, to] = validDays.map(moment);
    const extensionFile = await file(`${name}.ext`, `basicConstraints=CA:FALSE\n${extensions}\n`);
    const dates = ["-startdate", from ?? "", "-enddate", to ?? ""];
    const files = ["-in", request, "-extfile", extensionFile, "-out", `${dir}/${name}.pem`];
    await openssl("ca", "-batch", "-notext", "-config", authority, ...dates, ...files);
    return await pair(name);
  };
  const usage = "extendedKeyUsage=serverAuth,clientAuth";
  return {
    ca: await pem("ca"),
    server: await sign({ name: "server", extensions: `${usage}\n${SERVER}` }),
    elsewhere: await sign({ name: "elsewhere", extensions: `${usage}\nsubjectAltName=IP:127.0.0.9` }),
    client: await sign({ name: "client", commonName: "root", extensions: "extendedKeyUsage=clientAuth" }),
    sign,
    async selfSigned() {
      const name = `self-${++count}`;
      await selfSigned(name, "/CN=etcd", [SERVER]);
      return await pair(name);
    },
    async encrypted(key, form) {
      const name = `encrypted-${++count}`;
      const how = form === "pkcs8" ? ["pkcs8", "-topk8", "-passout"] : ["ec", "-aes256", "-passout"];
      await openssl(...how, "pass:secret", "-in", key.path, "-out", `${dir}/${name}.pem`);
      return await pem(name);
    },
    [Symbol.asyncDispose]: () => Deno.remove(dir, { recursive: true }),
  };
}

/** A key pair for tokens that are signed, as etcd wants it: the paths of the private and the public key. */
export async function makeTokenKeys(
  dir: string,
): Promise<{ readonly secret: string; readonly open: string }> {
  const [secret, open] = [`${dir}/token-key.pem`, `${dir}/token-public.pem`];
  await openssl("ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", secret);
  await openssl("ec", "-in", secret, "-pubout", "-out", open);
  return { secret, open };
}

/** So many days from now, as ASN.1 writes it. */
function moment(days: number): string {
  return `${new Date(Date.now() + days * DAY_MS).toISOString().replace(/[-:T]|\..*/g, "")}Z`;
}

async function openssl(...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command("openssl", { args, stdin: "null" }).output();
  if (!success) throw new Error(`openssl ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}
