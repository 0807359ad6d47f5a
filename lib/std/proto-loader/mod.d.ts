/** What gRPC's `loadPackageDefinition` takes; the shape is that library's. */
export function loadSync(
  filename: string,
  options?: Readonly<Record<string, unknown>>,
): Record<string, unknown>;
