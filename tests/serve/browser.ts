/**
 * Debian's Chromium, driven by its DevTools protocol: pages that are opened, looked at, clicked and photographed. Whatever
 * a page complains about (errors, breaches of its policy) is kept.
 */

import { leashed } from "../support/child.ts";

/** What the browser says of a page. */
interface Message {
  readonly id?: number;
  readonly sessionId?: string;
  readonly method?: string;
  readonly params?: Record<string, unknown>;
  readonly result?: Record<string, unknown>;
  readonly error?: { readonly message: string };
}

/** How a page is to be seen. */
export interface Look {
  readonly width?: number;
  readonly height?: number;
  readonly scheme?: "light" | "dark";
  readonly javaScript?: boolean;
  readonly zone?: string;
}

/** How long anything may take, in milliseconds. */
const PATIENCE_MS = 10_000;

export class Browser implements AsyncDisposable {
  #last = 0;
  readonly #answers = new Map<number, (message: Message) => void>();
  readonly #pages = new Map<string, Page>();

  private constructor(
    private readonly child: Deno.ChildProcess,
    private readonly socket: WebSocket,
    private readonly folder: string,
  ) {
    socket.addEventListener("message", ({ data }) => this.#hear(JSON.parse(data)));
  }

  static async open(): Promise<Browser> {
    const folder = await Deno.makeTempDir({ prefix: "locksmith-chromium-" });
    const child = leashed("chromium", {
      args: [
        "--headless=new",
        "--no-sandbox",
        "--no-first-run",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-extensions",
        "--disable-sync",
        "--hide-scrollbars",
        "--remote-debugging-port=0",
        `--user-data-dir=${folder}`,
        "about:blank",
      ],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const socket = new WebSocket(await endpointOf(child.stderr));
    await new Promise((resolve, reject) => {
      socket.addEventListener("open", resolve);
      socket.addEventListener("error", reject);
    });
    return new Browser(child, socket, folder);
  }

  /** A page of its own, with cookies of its own. */
  async page(look: Look = {}): Promise<Page> {
    const { browserContextId } = await this.call("Target.createBrowserContext");
    const { targetId } = await this.call("Target.createTarget", { url: "about:blank", browserContextId });
    const { sessionId } = await this.call("Target.attachToTarget", { targetId, flatten: true });
    const page = new Page(this, String(sessionId), String(browserContextId));
    this.#pages.set(String(sessionId), page);
    await page.start(look);
    return page;
  }

  async call(method: string, params: object = {}, sessionId?: string): Promise<Record<string, unknown>> {
    const id = ++this.#last;
    const { promise, resolve } = Promise.withResolvers<Message>();
    this.#answers.set(id, resolve);
    this.socket.send(
      JSON.stringify({ id, method, params, ...(sessionId === undefined ? {} : { sessionId }) }),
    );
    const { result, error } = await within(promise, method);
    if (error !== undefined) throw new Error(`${method}: ${error.message}`);
    return result ?? {};
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.socket.addEventListener("close", resolve, { once: true }));
    await this.call("Browser.close").catch(() => {});
    await within(closed, "close");
    await this.child.status;
    await Deno.remove(this.folder, { recursive: true }).catch(() => {});
  }

  #hear(message: Message): void {
    if (message.id !== undefined) {
      this.#answers.get(message.id)?.(message);
      this.#answers.delete(message.id);
    } else if (message.sessionId !== undefined && message.method !== undefined) {
      this.#pages.get(message.sessionId)?.hear(message.method, message.params ?? {});
    }
  }
}

export class Page {
  /** What the page complained about. */
  readonly complaints: string[] = [];
  /** How many bytes it loaded, heads of answers included. */
  bytes = 0;
  #loaded = Promise.withResolvers<void>();

  constructor(
    private readonly browser: Browser,
    private readonly session: string,
    private readonly context: string,
  ) {}

  async start(
    { width = 1280, height = 900, scheme = "light", javaScript = true, zone = "Europe/Berlin" }: Look,
  ) {
    await this.#call("Page.enable");
    await this.#call("Runtime.enable");
    await this.#call("Network.enable");
    await this.#call("Log.enable");
    await this.#call("Emulation.setDeviceMetricsOverride", {
      width,
      height,
      deviceScaleFactor: width < 500 ? 1.5 : 1,
      mobile: width < 500,
    });
    await this.#call("Emulation.setTimezoneOverride", { timezoneId: zone });
    await this.#call("Emulation.setEmulatedMedia", {
      features: [{ name: "prefers-color-scheme", value: scheme }, {
        name: "prefers-reduced-motion",
        value: "reduce",
      }],
    });
    if (!javaScript) await this.#call("Emulation.setScriptExecutionDisabled", { value: true });
  }

  /** Goes to an address, until everything that it needs is there. */
  async open(url: string): Promise<void> {
    this.#loaded = Promise.withResolvers();
    await this.#call("Page.navigate", { url });
    await within(this.#loaded.promise, `loading ${url}`);
  }

  /** Does what leads to another document, until that is there. */
  async follow(act: () => Promise<unknown>): Promise<void> {
    this.#loaded = Promise.withResolvers();
    await act();
    await within(this.#loaded.promise, "the next document");
  }

  /** The value of an expression in the page; of a promise what it resolves to. */
  async value<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.#call("Runtime.evaluate", {
      expression,
      awaitPromise: true,
      returnByValue: true,
    });
    if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails));
    return (result as { value: T }).value;
  }

  /** Resolves when an expression is true. The page looks whenever it changes. */
  async until(expression: string): Promise<void> {
    await this.value(`new Promise((resolve) => {
      const look = () => (${expression}) && (watch.disconnect(), resolve(true));
      const watch = new MutationObserver(look);
      watch.observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
      look();
    })`);
  }

  /** Types into what has the focus. */
  async type(text: string): Promise<void> {
    await this.#call("Input.insertText", { text });
  }

  /** Presses and releases a key, such as `Tab` or `Enter`. */
  async press(key: string): Promise<void> {
    const code = { Tab: 9, Enter: 13 }[key] ?? 0;
    const text = key === "Enter" ? { text: "\r" } : {};
    const event = { key, code: key, windowsVirtualKeyCode: code };
    await this.#call("Input.dispatchKeyEvent", { type: "keyDown", ...event, ...text });
    await this.#call("Input.dispatchKeyEvent", { type: "keyUp", ...event });
  }

  /** A picture of the whole document. */
  async picture(format: "png" | "webp" = "png"): Promise<Uint8Array> {
    const { cssContentSize } = await this.#call("Page.getLayoutMetrics");
    const { width, height } = cssContentSize as { width: number; height: number };
    const { data } = await this.#call("Page.captureScreenshot", {
      format,
      ...(format === "webp" ? { quality: 60 } : {}),
      captureBeyondViewport: true,
      clip: { x: 0, y: 0, width, height, scale: 1 },
    });
    return Uint8Array.fromBase64(String(data));
  }

  async close(): Promise<void> {
    await this.browser.call("Target.disposeBrowserContext", { browserContextId: this.context });
  }

  hear(method: string, params: Record<string, unknown>): void {
    switch (method) {
      case "Page.loadEventFired":
        return this.#loaded.resolve();
      case "Network.loadingFinished":
        this.bytes += Number(params.encodedDataLength);
        return;
      case "Runtime.exceptionThrown":
      case "Log.entryAdded":
        this.complaints.push(JSON.stringify(params));
    }
  }

  #call(method: string, params: object = {}): Promise<Record<string, unknown>> {
    return this.browser.call(method, params, this.session);
  }
}

async function endpointOf(stderr: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<string> {
  let text = "";
  const reader = stderr.pipeThrough(new TextDecoderStream()).getReader();
  while (true) {
    const { value, done } = await within(reader.read(), "chromium's start");
    if (done) throw new Error(`chromium did not start: ${text}`);
    text += value;
    const url = /DevTools listening on (ws:\S+)/.exec(text)?.[1];
    if (url === undefined) continue;
    // what it says from here on is of no use, but must be read
    void (async () => {
      while (!(await reader.read()).done);
    })();
    return url;
  }
}

async function within<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not done within ${PATIENCE_MS} ms`)), PATIENCE_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
