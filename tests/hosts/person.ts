/** A person who is logged in on a host, at a terminal of which all is kept that was shown there. */

import { until } from "../support/daemon_process.ts";
import type { Host } from "./host.ts";

/** The user that every host has: see image.sh. */
const USER = "anna";
const TERMINAL = `/home/${USER}/terminal`;

export class Person {
  readonly name = USER;
  readonly #unit: string;

  private constructor(private readonly host: Host, unit: string) {
    this.#unit = unit;
  }

  /** Resolves when logind knows of the session, and utmp of the terminal: wall(1) goes by that, and login writes it later. */
  static async logIn(host: Host): Promise<Person> {
    const unit = "terminal";
    // a terminal whose input ended would log out at once
    const login = `sleep infinity | script --quiet --flush --command "login -f ${USER}" ${TERMINAL}`;
    await host.detach(unit, "sh", "-c", login);
    await until(() => host.run("loginctl", "--no-legend", "list-sessions"), (text) => text.includes(USER));
    await until(() => host.run("who"), (text) => text.includes(USER));
    return new Person(host, unit);
  }

  /** All that was shown, once it fits. */
  async sees(pattern: RegExp): Promise<string> {
    return await until(() => this.host.read(TERMINAL), (text) => pattern.test(text));
  }

  async logOut(): Promise<void> {
    await this.host.run("systemctl", "stop", this.#unit);
    await until(
      () => this.host.run("loginctl", "--no-legend", "list-sessions"),
      (text) => !text.includes(USER),
    );
  }
}
