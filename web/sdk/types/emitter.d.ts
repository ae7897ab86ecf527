// The types of emitter.js, made from its code.
/** @template {{[name: string]: any}} Events */
export class Emitter<Events extends {
    [name: string]: any;
}> {
    /**
     * Calls `listener` for every event of that name, until the returned function is called.
     * @template {keyof Events} Name
     * @param {Name} name
     * @param {(event: Events[Name]) => void} listener
     * @returns {() => void}
     */
    on<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void;
    /**
     * Calls `listener` for the next event of that name only.
     * @template {keyof Events} Name
     * @param {Name} name
     * @param {(event: Events[Name]) => void} listener
     * @returns {() => void}
     */
    once<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void;
    /**
     * @template {keyof Events} Name
     * @param {Name} name
     * @param {Events[Name]} event
     */
    emit<Name extends keyof Events>(name: Name, event: Events[Name]): void;
    #private;
}
