/** The signals that ask a command to end, and the exit codes that tell of them. */

/** What a shell makes of a program that a signal ended. */
export const EXIT_BY_SIGNAL = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;
export type SignalName = keyof typeof EXIT_BY_SIGNAL;

/** Calls `heard` at each of them until it is disposed of; at a hang-up unless those are ignored. */
export function onSignals(hangupIgnored: boolean, heard: (name: SignalName) => void): Disposable {
  const names = Object.keys(EXIT_BY_SIGNAL) as SignalName[];
  const listeners = names.map((name) => {
    const listener = () => {
      if (name !== "SIGHUP" || !hangupIgnored) heard(name);
    };
    Deno.addSignalListener(name, listener);
    return { name, listener };
  });
  return {
    [Symbol.dispose]: () => {
      for (const { name, listener } of listeners) Deno.removeSignalListener(name, listener);
    },
  };
}
