/** An embedded store whose commits fail at their very end, as they do on a disk that is full or broken. */

import { DatabaseSync } from "node:sqlite";

/** From now on no transaction can be committed that has written a value with this text in it. */
export function unableToKeep(file: string, text: string): void {
  run(
    file,
    `
    CREATE TABLE never (key TEXT REFERENCES entry (key) DEFERRABLE INITIALLY DEFERRED);
    CREATE TRIGGER unable AFTER INSERT ON entry WHEN instr(NEW.value, '${text}') > 0
      BEGIN INSERT INTO never VALUES ('nothing has this key'); END;
  `,
  );
}

/** The disk is well again. */
export function ableAgain(file: string): void {
  run(file, "DROP TRIGGER unable; DROP TABLE never");
}

function run(file: string, statements: string): void {
  const database = new DatabaseSync(file, { timeout: 1_000 });
  database.exec(statements);
  database.close();
}
