/** The classic script: `globalThis.Portcullis`. */
import { PortcullisError, createClient, installBackbone, installJQuery, problemOf } from './index.js';

globalThis.Portcullis = Object.freeze({ PortcullisError, createClient, installBackbone, installJQuery, problemOf });
