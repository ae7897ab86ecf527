// The types of parlor.js, for programs that keep a copy of this folder. The others are made by `npm run types`.
export * from "./types/parlor.js";
